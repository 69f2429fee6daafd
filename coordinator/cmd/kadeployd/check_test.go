package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"kadeploy/coordinator/internal/config"
)

// TestDescribe compares the page that check prints for a site with the one in testdata.
func TestDescribe(t *testing.T) {
	a, err := txtar.ParseFile("testdata/check.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	want := ""
	for _, f := range a.Files {
		if f.Name == "want" {
			want = string(f.Data)
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	describe(&page, cfg)
	if diff := cmp.Diff(want, strings.ReplaceAll(page.String(), dir, "DIR")); diff != "" {
		t.Errorf("describe (-want +got):\n%s", diff)
	}
	var object bytes.Buffer
	if err := writeJSON(&object, cfg); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Directory string
		Warnings  []string
		Clusters  []struct{ Name string }
	}
	if err := json.Unmarshal(object.Bytes(), &got); err != nil || got.Directory != dir || len(got.Clusters) != 1 || len(got.Warnings) != 1 {
		t.Errorf("writeJSON: %v, %+v", err, got)
	}
}

// TestLabOnlyUnnamed: a directory that somebody named is never replaced by the built-in lab.
func TestLabOnlyUnnamed(t *testing.T) {
	t.Setenv("KADEPLOY3_CONFIG_DIR", filepath.Join(t.TempDir(), "missing"))
	cmd := newCommand()
	cmd.SetArgs([]string{"check"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "The file does not exist") {
		t.Errorf("check of a named directory that is missing: %v", err)
	}
}
