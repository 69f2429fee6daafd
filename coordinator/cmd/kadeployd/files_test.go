package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/coordinator/internal/api"
	"kadeploy/coordinator/internal/imagecache"
	"kadeploy/coordinator/internal/workflow"
)

// A coordinator that comes back holds every file of a deployment that goes on: of
// the environment, of custom operations, and of the site.
func TestHoldFindsAllCopiesAgain(t *testing.T) {
	dir := t.TempDir()
	cache, err := imagecache.New(imagecache.Config{Directory: t.TempDir(), Size: 1 << 20, Open: openForUser(nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	before, after := newFiles(cache), newFiles(cache)
	fetch := func(name string) workflow.File {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := before.Fetch(t.Context(), api.FileRequest{URI: "server://" + path, Site: true, What: name, Keep: true, Holder: "D-1"})
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	pre := fetch("preinstall")
	req := &workflow.Request{
		ID: "D-1",
		Files: workflow.Files{
			Image: fetch("image"), Preinstall: &pre, Postinstalls: []workflow.File{fetch("post")},
			Site: map[string]workflow.File{"/etc/site.tgz": fetch("site")},
		},
		OpFiles: map[string]workflow.File{"user /op": fetch("op")},
	}
	if err := after.hold(req); err != nil {
		t.Fatal(err)
	}
	if n := len(after.held["D-1"]); n != 5 {
		t.Errorf("%d copies are held, want 5", n)
	}
	req.Files.Site["/etc/site.tgz"] = workflow.File{Path: filepath.Join(dir, "no-copy")}
	if err := after.hold(req); err == nil || !strings.Contains(err.Error(), "no-copy") {
		t.Errorf("a copy that is gone: %v", err)
	}
}
