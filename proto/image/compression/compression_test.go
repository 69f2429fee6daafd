package compression

import (
	"bytes"
	"io"
	"os/exec"
	"testing"
)

// What the usual tools write is read.
func TestNewReader(t *testing.T) {
	want := bytes.Repeat([]byte("kadeploy "), 10000)
	for name, tool := range map[string]string{None: "cat", Gzip: "gzip", Bzip2: "bzip2", XZ: "xz", Zstd: "zstd", LZ4: "lz4"} {
		cmd := exec.Command(tool, map[bool][]string{true: nil, false: {"-c"}}[tool == "cat"]...)
		cmd.Stdin = bytes.NewReader(want)
		data, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
		r, err := NewReader(bytes.NewReader(data), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
		}
		r.Close()
	}
	if _, err := NewReader(nil, "rar"); err == nil || Known("rar") || !Known(XZ) {
		t.Errorf("rar: %v, known %v", err, Known("rar"))
	}
}
