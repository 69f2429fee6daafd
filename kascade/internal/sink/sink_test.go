package sink

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		end  func(*File) error
		want string
	}{
		{func(f *File) error { f.Abort(errors.New("stop")); return nil }, "old"},
		{func(f *File) error { return f.Commit(t.Context()) }, "new"},
	} {
		f, err := NewFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "new"); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != "old" {
			t.Errorf("before the end the file is %q, want the old one", b)
		}
		if err := c.end(f); err != nil {
			t.Error(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || string(b) != c.want {
			t.Errorf("file is %q, %v, want %q", b, err, c.want)
		}
		if left, _ := filepath.Glob(dir + "/.*kascade*"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if _, err := NewFile(dir + "/no/such/dir"); err == nil {
		t.Error("a file in no directory was opened")
	}
	null, err := NewFile("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if err := null.Commit(t.Context()); err != nil {
		t.Errorf("commit of /dev/null: %v", err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().IsRegular() {
		t.Fatalf("/dev/null is %v, %v", info, err)
	}
	full, err := NewFile("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer full.Abort(nil)
	if _, err := io.WriteString(full, "x"); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("write to a full disk: %v", err)
	}
}

func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct{ line, want string }{
		{"cat >" + out, ""},
		{"cat >/dev/null; echo no more room >&2; exit 3", "exit status 3; it printed: no more room"},
		{"exit 4", "exit status 4"},
		{"head -c 10 >/dev/null", "without reading everything"},
		{"exec <&-; sleep 100", "does not read any more"},
		{"no-such-command-here", "not found"},
	} {
		s, err := NewCommand(c.line, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err = s.Write(make([]byte, 1<<20)); err != nil {
				s.Abort(err)
				break
			}
		}
		if err == nil {
			err = s.Commit(t.Context())
		}
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.line, err, c.want)
		}
	}
	if info, err := os.Stat(out); err != nil || info.Size() != 3<<20 {
		t.Errorf("cat wrote %v, %v", info, err)
	}
}

// TestCommandAbort: a command that hangs does not hold up Abort, Write or Commit for long.
func TestCommandAbort(t *testing.T) {
	s, err := NewCommand("trap '' INT; sleep 1000", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error)
	go func() {
		for {
			if _, err := s.Write(make([]byte, 1<<20)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	start := time.Now()
	s.Abort(errors.New("stop"))
	if err := <-wrote; err == nil {
		t.Error("Write returned nil")
	}
	hung, err := NewCommand("sleep 1000", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if err := hung.Commit(ctx); !errors.Is(err, stop) {
		t.Errorf("Commit = %v, want %v", err, stop)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}
