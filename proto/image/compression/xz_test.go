package compression

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"
	"testing/iotest"
)

// inXZ is data that the xz tool has compressed.
func inXZ(t *testing.T, data []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "xz", append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The program's failures, and those of what it reads, are not taken for the end.
func TestXZFails(t *testing.T) {
	good := inXZ(t, bytes.Repeat([]byte("kadeploy "), 300_000), "--block-size=500000")
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 0x10
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		r    io.Reader
		want error // nil: any
	}{
		"truncated": {bytes.NewReader(good[:len(good)-50]), io.ErrUnexpectedEOF},
		"damaged":   {bytes.NewReader(damaged), nil},
		"source":    {io.MultiReader(bytes.NewReader(good), iotest.ErrReader(broken)), broken},
	} {
		d, err := NewReader(c.r, XZ)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, d)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		d.Close()
	}
}

// Close ends the program although there is more to decode.
func TestXZCloseEarly(t *testing.T) {
	d, err := NewReader(bytes.NewReader(inXZ(t, make([]byte, 64<<20))), XZ)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(d, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(make([]byte, 10)); err == nil || err == io.EOF {
		t.Errorf("Read after Close = %v, want an error", err)
	}
}
