package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kadeploy/coordinator/internal/prepare"
)

func TestPrepareImage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("some words\n"), 200_000), 0o644); err != nil {
		t.Fatal(err)
	}
	archive, output := filepath.Join(dir, "image.tar"), filepath.Join(dir, "image.frames.zst")
	if out, err := exec.Command("tar", "-cf", archive, "-C", dir, "file").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	im := prepare.Image{Kind: "tar", Path: archive, Compression: "none"}
	if err := prepareImage(t.Context(), im, "frames", output); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	got, err := io.ReadAll(z)
	want, _ := os.ReadFile(archive)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want the %d of the archive", len(got), err, len(want))
	}
	if err := prepareImage(t.Context(), im, "shapes", output+".2"); err == nil {
		t.Error("an unknown form is taken")
	}
	if err := prepareImage(t.Context(), prepare.Image{Kind: "tar", Path: archive, Compression: "gzip"}, "frames", output+".2"); err == nil {
		t.Error("what is no gzip is prepared as such")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.2")); len(left) > 0 {
		t.Errorf("left after a failure: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".prepare-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
