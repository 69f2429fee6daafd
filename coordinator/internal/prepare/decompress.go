package prepare

import (
	"bufio"
	"compress/bzip2"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// inputBuffer keeps decoders from reading files in small pieces.
const inputBuffer = 1 << 20

// decompress reads an image as its description says that it is compressed. Who
// reads must close it.
func decompress(ctx context.Context, r io.Reader, compression string) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, inputBuffer)
	switch compression {
	case "none":
		return io.NopCloser(br), nil
	case "gzip":
		return gzip.NewReader(br)
	case "bzip2":
		return io.NopCloser(bzip2.NewReader(br)), nil
	case "lz4":
		return io.NopCloser(lz4.NewReader(br)), nil
	case "zstd":
		d, err := zstd.NewReader(br, zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case "xz":
		if tool, err := exec.LookPath("xz"); err == nil {
			return startDecoder(ctx, br, tool, "-dc", "-T0")
		}
		d, err := xz.NewReader(br) // several times slower
		return io.NopCloser(d), err
	}
	return nil, fmt.Errorf("unknown compression %q", compression)
}

// program is a program that decodes its standard input.
type program struct {
	out    io.Reader
	cmd    *exec.Cmd
	stderr strings.Builder
	cancel context.CancelFunc
	waited bool
	err    error // what Read goes on to say
}

func startDecoder(ctx context.Context, r io.Reader, name string, args ...string) (*program, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &program{cmd: exec.CommandContext(ctx, name, args...), cancel: cancel}
	p.cmd.Stdin, p.cmd.Stderr = r, &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.out = out
		err = p.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

// Read returns io.EOF only when the program says that all was well.
func (p *program) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.out.Read(b)
	if err == io.EOF {
		p.waited = true
		if werr := p.cmd.Wait(); werr != nil {
			err = fmt.Errorf("%w: %s", werr, strings.TrimSpace(p.stderr.String()))
		}
	}
	p.err = err
	return n, err
}

// Close ends the program, if it has not ended.
func (p *program) Close() error {
	p.cancel()
	if !p.waited {
		p.waited = true
		_ = p.cmd.Wait() // it was told to die
		p.err = io.ErrClosedPipe
	}
	return nil
}
