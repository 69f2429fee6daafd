package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kadeploy/agent/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sinks makes one of each kind; Sink must behave the same whatever it feeds.
func sinks(t *testing.T) map[string]func(ctx context.Context) (*Sink, error) {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]func(ctx context.Context) (*Sink, error){
		"tar": func(ctx context.Context) (*Sink, error) {
			return NewTarSink(ctx, TarOptions{Root: t.TempDir(), Compression: None})
		},
		"raw": func(ctx context.Context) (*Sink, error) {
			return NewRawSink(ctx, RawOptions{Device: disk, Compression: None})
		},
		"file": func(ctx context.Context) (*Sink, error) { return NewFileSink(ctx, filepath.Join(dir, "file"), 0o600) },
	}
}

func TestSinkAbort(t *testing.T) {
	for kind, open := range sinks(t) {
		s, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(archiveOf(t, reg("a", 100000))[:50000]); err != nil {
			t.Fatal(err)
		}
		cause := errors.New("the chain broke")
		s.Abort(cause)
		if _, err := s.Write([]byte("more")); !errors.Is(err, cause) {
			t.Errorf("%s: Write after Abort = %v, want %v", kind, err, cause)
		}
	}
}

func TestSinkAbortUnblocksWrite(t *testing.T) {
	for kind, open := range sinks(t) {
		s, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cause, result := errors.New("the chain broke"), make(chan error)
		go func() {
			for {
				if _, err := s.Write(archiveOf(t, reg("a", 4096))[:512+4096]); err != nil {
					result <- err
					return
				}
			}
		}()
		s.Abort(cause)
		if err := <-result; !errors.Is(err, cause) && kind != "raw" {
			t.Errorf("%s: Write = %v, want %v", kind, err, cause)
		}
	}
}

func TestSinkContextEnds(t *testing.T) {
	for kind, open := range sinks(t) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s, err := open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cause := errors.New("the call was given up")
		cancel(cause)
		for err == nil {
			_, err = s.Write(make([]byte, 1000))
		}
		if err := s.Commit(t.Context()); !errors.Is(err, cause) {
			t.Errorf("%s: Commit after the end of its context = %v, want %v", kind, err, cause)
		}
	}
}

func TestSinkFailureReachesWrite(t *testing.T) {
	s, err := NewTarSink(t.Context(), TarOptions{Root: t.TempDir(), Compression: Zstd})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if _, err = s.Write(make([]byte, 100000)); err != nil {
			break
		}
	}
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(fmt.Sprint(err), "zstd") {
		t.Errorf("Write after the extractor failed = %v, want its error", err)
	}
	if cerr := s.Commit(t.Context()); cerr == nil || cerr.Error() != err.Error() {
		t.Errorf("Commit = %v, want the same error as Write: %v", cerr, err)
	}
}

func TestTarSinkFullDisk(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	tool(t, "", "mount", "-t", "tmpfs", "-o", "size=1M", "none", dir)
	defer tool(t, "", "umount", dir) // also shows that nothing is left open
	_, err := extract(t, archiveOf(t, reg("a", 100), reg("big", 3<<20), reg("b", 100)), dir, None)
	if err == nil || !regexp.MustCompile("extract (big|b): write at byte").MatchString(err.Error()) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("extraction to a full disk = %v, want: extract big (or b, which is written beside it): ... no space left on device", err)
	}
	if _, err = extract(t, archiveOf(t, reg("small1", 400000), reg("small2", 200000), reg("small3", 200000), reg("small4", 200000),
		reg("small5", 200000), reg("small6", 200000), reg("small7", 200000)), dir, None); err == nil {
		t.Error("extraction of small files to a full disk succeeded")
	}
}

func TestTarSinkNoDirectory(t *testing.T) {
	_, err := NewTarSink(t.Context(), TarOptions{Root: "/nonexistent", Compression: None})
	if fault.KindOf(err) != fault.Precondition {
		t.Errorf("NewTarSink = %v, want a failed precondition", err)
	}
}

// A disk that takes the data but cannot keep it is found out before ok is said.
func TestTarSinkWriteBackError(t *testing.T) {
	needRoot(t)
	work := t.TempDir()
	small, dir := filepath.Join(work, "small"), filepath.Join(work, "mnt")
	for _, d := range []string{small, dir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A sparse file on a file system that has less room than the file promises.
	tool(t, "", "mount", "-t", "tmpfs", "-o", "size=12M", "none", small)
	defer tool(t, "", "umount", small)
	tool(t, "", "bash", "-ec", `truncate -s 256M $0/disk; mke2fs -q -t ext4 -E lazy_itable_init=1,nodiscard -J size=4 $0/disk; mount -o loop $0/disk $1`, small, dir)
	defer tool(t, "", "umount", "-l", dir)
	_, err := extract(t, archiveOf(t, reg("a", 40<<20)), dir, None)
	if err == nil || !strings.Contains(err.Error(), "/dev/loop") || !strings.Contains(err.Error(), "flush "+dir) {
		t.Errorf("extraction to a failing disk = %v, want an error of the flush that names the device", err)
	}
}

func TestFileSink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "file")
	s, err := NewFileSink(t.Context(), path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before Commit: Stat = %v, want that the file does not exist", err)
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	info, _ := os.Stat(path)
	if diff := cmp.Diff("hello", string(b)); err != nil || diff != "" || info.Mode() != 0o640 {
		t.Errorf("file: %v %v %s", err, info.Mode(), diff)
	}

	s, err = NewFileSink(t.Context(), path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("half"))
	s.Abort(errors.New("stop"))
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("after Abort: %v, %v, want only the old file", entries, err)
	}
}
