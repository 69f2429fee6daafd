package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// unpack writes the files of an archive into a new directory.
func unpack(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range a.Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data := bytes.ReplaceAll(f.Data, []byte("DIR"), []byte(dir))
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGolden loads each directory of testdata and compares what it gives, with
// warnings and problems, to the golden file beside it.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) < 6 {
		t.Fatalf("archives in testdata: %v, %v", archives, err)
	}
	for _, file := range archives {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := unpack(t, a)
		c, err := Load(dir)
		got := describe(t, dir, c, err)
		golden := strings.TrimSuffix(file, ".txtar") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("Load of %s (-want +got):\n%s", file, diff)
		}
	}
}

// describe is all that Load gave, as text that does not depend on this machine.
func describe(t *testing.T, dir string, c *Config, err error) string {
	t.Helper()
	var b strings.Builder
	for _, w := range c.Warnings {
		b.WriteString("warning: " + w.String() + "\n")
	}
	if err != nil {
		var wrong *Error
		if !errors.As(err, &wrong) {
			t.Errorf("Load returned %T, want an *Error", err)
		}
		b.WriteString(err.Error() + "\n")
	} else {
		data, err := json.MarshalIndent(map[string]any{"Server": c.Server, "Site": c.Site, "Version": c.Version}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		b.Write(data)
	}
	text := strings.ReplaceAll(b.String(), dir, "DIR")
	return strings.ReplaceAll(text, "\""+hostname()+"\"", "\"HOSTNAME\"") + "\n"
}

func TestEmptyDirectoryName(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "nowhere")); err == nil || !strings.Contains(err.Error(), "server.conf: The file does not exist in") {
		t.Errorf("Load of a directory that does not exist: %v", err)
	}
}

// FuzzServer checks that no server.conf makes Load panic.
func FuzzServer(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archives {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, one := range a.Files {
			if strings.HasSuffix(one.Name, ".conf") {
				f.Add(one.Data)
			}
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, content := range map[string][]byte{"server.conf": data, "clusters.conf": data, "command.conf": data, "c.conf": data} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c, _ := Load(dir); c == nil {
			t.Error("Load gave no Config")
		}
	})
}
