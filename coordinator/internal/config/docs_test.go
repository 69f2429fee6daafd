package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedSite loads the smallest site of docs/configuration.md, as it stands there.
func TestDocumentedSite(t *testing.T) {
	page, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	files := []string{"server.conf", "clusters.conf", "lab-cluster.conf"}
	if len(blocks) != len(files) {
		t.Fatalf("the page has %d files, want %v", len(blocks), files)
	}
	dir := t.TempDir()
	repository := t.TempDir()
	for i, name := range files {
		text := strings.ReplaceAll(blocks[i][1], "/var/lib/kadeploy/minios", repository)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"vmlinuz", "initrd.img"} {
		if err := os.WriteFile(filepath.Join(repository, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(dir)
	if err != nil || len(c.Warnings) > 0 {
		t.Errorf("Load: %v, warnings %v", err, c.Warnings)
	}
}
