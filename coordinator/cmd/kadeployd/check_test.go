package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"kadeploy/coordinator/internal/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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

// TestCheckSamples checks the sites that the tests of the configuration have: the
// original's of 2016, and one as Grid'5000 writes them today.
func TestCheckSamples(t *testing.T) {
	for _, name := range []string{"original", "grid5000"} {
		a, err := txtar.ParseFile("../../internal/config/testdata/" + name + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, f := range a.Files {
			path := filepath.Join(dir, f.Name)
			data := bytes.ReplaceAll(f.Data, []byte("DIR"), []byte(dir))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		var out, warnings bytes.Buffer
		check := exec.Command("kadeployd", "check", "--config", dir) // TestMain has put it there
		check.Stdout, check.Stderr = &out, &warnings
		if err := check.Run(); err != nil {
			t.Errorf("check of %s: %v\n%s", name, err, warnings.String())
		}
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.NewReplacer(dir, "DIR", host+":", "HOST:").Replace(out.String() + warnings.String())
		golden := filepath.Join("testdata", "check-"+name+".golden")
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
			t.Errorf("check of %s (-want +got):\n%s", name, diff)
		}
	}
}
