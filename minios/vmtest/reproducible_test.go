package vmtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSameInputsSameBytes builds the image once more, from the same packages and
// the same agent, and compares it with the one that is there.
func TestSameInputsSameBytes(t *testing.T) {
	first, bin := os.Getenv("KADEPLOY_MINIOS"), os.Getenv("KADEPLOY_BIN")
	if first == "" || bin == "" {
		t.Fatal("KADEPLOY_MINIOS or KADEPLOY_BIN is not set: run the tests with `make test`")
	}
	second := t.TempDir()
	out, err := exec.Command(filepath.Join(bin, "mkminios"), "--manifest", "../manifest/lab.yaml",
		"--agent", filepath.Join(bin, "kadeploy-agent"), "--output", second).CombinedOutput()
	if err != nil {
		t.Fatalf("mkminios: %v\n%s", err, out)
	}
	for _, name := range []string{"vmlinuz", "initrd.img", "local.efi", "manifest.json"} {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatalf("%v: run `make minios`", err)
		}
		b, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs: %d and %d bytes", name, len(a), len(b))
		}
	}
}
