package launch

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestScriptCutOff: a script whose ssh ends in the midst of the copy, so that nobody reads
// what it prints either, leaves nothing.
func TestScriptCutOff(t *testing.T) {
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := exec.Command("/bin/sh", "-c", script(1<<20, dir))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("\x1f\x8b\x08 no more"), w, w
	if err := cmd.Run(); err == nil {
		t.Error("it succeeded")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
