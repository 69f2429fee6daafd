package compression

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

// xzProgram is part of the mini-OS, and on most hosts. It decodes several times faster than what
// there is in Go, and an image of several blocks on all processors.
const xzProgram = "/usr/bin/xz"

// xzArguments bound the memory of a parallel decoder; one that has not enough of
// it decodes with fewer threads.
var xzArguments = []string{"--decompress", "--stdout", "--threads=0", "--memlimit-mt-decompress=64MiB"}

// pipeSize is that of the pipe from the program, in bytes: fewer switches between the two.
const pipeSize = 1 << 20

func openXZ(r io.Reader) (io.ReadCloser, error) {
	if _, err := os.Stat(xzProgram); err != nil {
		d, err := xz.NewReader(r)
		return io.NopCloser(d), err
	}
	return startFilter(r, xzProgram, xzArguments...)
}

// filter is a program that decodes what it reads from r.
type filter struct {
	out    io.ReadCloser
	cmd    *exec.Cmd
	stderr strings.Builder
	kill   context.CancelFunc
	waited bool
	err    error // what Read goes on to say
}

func startFilter(r io.Reader, path string, args ...string) (*filter, error) {
	ctx, kill := context.WithCancel(context.Background())
	f := &filter{cmd: exec.CommandContext(ctx, path, args...), kill: kill}
	f.cmd.Stdin, f.cmd.Stderr, f.cmd.Env = r, &f.stderr, []string{"LC_ALL=C"}
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		f.out = out
		err = f.cmd.Start()
	}
	if err != nil {
		kill()
		return nil, err
	}
	if file, ok := out.(*os.File); ok {
		_, _ = unix.FcntlInt(file.Fd(), unix.F_SETPIPE_SZ, pipeSize) // a smaller one works, too
	}
	return f, nil
}

// Read returns io.EOF only when the program says that all was well.
func (f *filter) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.out.Read(p)
	if err == io.EOF {
		err = f.end()
	}
	f.err = err
	return n, err
}

// end is how the program ended.
func (f *filter) end() error {
	f.waited = true
	err := f.cmd.Wait()
	if err == nil {
		return io.EOF
	}
	if !errors.As(err, new(*exec.ExitError)) {
		return err // what it was to read could not be read
	}
	text := strings.TrimSpace(f.stderr.String())
	if strings.Contains(text, "Unexpected end of input") {
		return fmt.Errorf("%s: %w", text, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%w: %s", err, text)
}

// Close ends the program, if it has not ended. It waits until nothing is read any more.
func (f *filter) Close() error {
	f.kill()
	if !f.waited {
		f.waited = true
		_ = f.cmd.Wait() // it was told to die
		f.err = io.ErrClosedPipe
	}
	return nil
}
