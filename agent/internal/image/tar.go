package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
)

// TarOptions says what is extracted, and where.
type TarOptions struct {
	Root        string // existing directory
	Compression string
	Clean       bool // empty the directory first
	NoFlush     bool // the caller flushes the file system
	Writers     int  // writers for small files; 0: as many as processors, two to four
}

// NewTarSink returns a sink that extracts a tar archive while it arrives.
func NewTarSink(ctx context.Context, opts TarOptions) (*Sink, error) {
	if opts.Clean {
		if err := clean(opts.Root); err != nil {
			return nil, err
		}
	}
	root, err := openRoot(opts.Root)
	if err != nil {
		return nil, err
	}
	if opts.Writers == 0 {
		opts.Writers = min(max(runtime.GOMAXPROCS(0), 2), 4)
	}
	return start(ctx, "extract into "+opts.Root, &tarConsumer{opts: opts, root: root}), nil
}

// tarConsumer extracts one archive. A failed extraction is left as it is: the
// file system is made anew by the next attempt.
type tarConsumer struct {
	opts TarOptions
	root *root
}

func (c *tarConsumer) consume(ctx context.Context, r io.Reader, count func(bytes, entries int64)) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	dec, err := decompress(r, c.opts.Compression)
	if err != nil {
		return fmt.Errorf("extract into %s: %w", c.opts.Root, err)
	}
	ahead := newReadAhead(dec)
	defer ahead.close()

	x := &extractor{
		ctx:   ctx,
		root:  c.root,
		in:    &tarInput{ahead: ahead, count: count},
		count: count,
		out:   startWriters(ctx, fail, c.opts.Writers),
		umask: processUmask(),
	}
	if err = x.run(); err != nil {
		fail(err)
	}
	x.flush()
	x.out.finish()
	if cause := context.Cause(ctx); cause != nil {
		err = cause // a writer's error, or why the call was given up: the parser only saw the end of ctx
	}
	if err == nil {
		err = x.settle()
	}
	if err != nil {
		return fmt.Errorf("extract into %s: %w", c.opts.Root, err)
	}
	return nil
}

func (c *tarConsumer) finish() error {
	defer c.root.close()
	if c.opts.NoFlush {
		return nil
	}
	if err := unix.Syncfs(c.root.fd); err != nil {
		return fmt.Errorf("flush %s to %s: %w", c.opts.Root, deviceOf(c.root.fd), err)
	}
	return nil
}

func (c *tarConsumer) discard() error {
	c.root.close()
	return nil
}

// tarInput counts what the archive holds and sees how it ends.
type tarInput struct {
	ahead *readAhead
	count func(bytes, entries int64)
	last  byte // of the last block: zero in the mark that ends an archive
	any   bool

	at     int64 // bytes read
	header int64 // where a header is expected, or -1
	zero   bool  // nothing but zeros was read there
}

// expect is called before each header; known is false if the end of what is
// before it was not reached.
func (in *tarInput) expect(known bool) {
	in.header, in.zero = -1, true
	if known {
		in.header = (in.at + tarBlock - 1) / tarBlock * tarBlock
	}
}

const tarBlock = 512

// look sees whether the block at the expected header is one of zeros.
func (in *tarInput) look(p []byte) {
	from, to := max(in.header-in.at, 0), min(in.header+tarBlock-in.at, int64(len(p)))
	for i := from; in.header >= 0 && i < to; i++ {
		in.zero = in.zero && p[i] == 0
	}
	in.at += int64(len(p))
}

// lone tells whether a header was a block of zeros, and something else followed:
// one is enough of an end for GNU tar, where the standard has two.
func (in *tarInput) lone() bool {
	return in.header >= 0 && in.zero && in.at >= in.header+2*tarBlock
}

func (in *tarInput) Read(p []byte) (int, error) {
	n, err := in.ahead.Read(p)
	in.count(int64(n), 0)
	in.look(p[:n])
	if n > 0 {
		in.any = true
		in.last = p[0]
	}
	return n, err
}

// finish is called when the parser met the end of the archive.
func (in *tarInput) finish() error {
	if !in.any {
		return errors.New("the image is empty")
	}
	if in.ahead.ended && in.last != 0 {
		return errors.New("the archive has no end: it is truncated")
	}
	// What follows is padding; the decoder checks its sums at the very end.
	padding, err := io.Copy(io.Discard, in.ahead)
	in.count(padding, 0)
	return err
}

// extractor turns entries into files. It is one goroutine, which makes and
// removes all names; only contents are written by others.
type extractor struct {
	ctx   context.Context
	root  *root
	in    *tarInput
	count func(bytes, entries int64)
	out   *writers
	batch *batch // being filled
	umask uint32

	later []pending
	named bool // later holds files whose ACLs name users
}

// pending is what can be set only when nothing below changes any more.
type pending struct {
	name  string
	isDir bool
	attrs attrs
}

func (x *extractor) run() error {
	tr := tar.NewReader(x.in)
	any, one := false, make([]byte, 1)
	for {
		rest, end := tr.Read(one)
		x.in.expect(rest == 0 && end == io.EOF)
		h, err := tr.Next()
		if errors.Is(err, tar.ErrHeader) && any && x.in.lone() {
			x.in.last, err = 0, io.EOF
		}
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return x.notTar(corrupt(err), any)
		}
		any = true
		if err := x.ctx.Err(); err != nil {
			return err
		}
		if err := x.entry(h, tr); err != nil {
			return fmt.Errorf("extract %s: %w", h.Name, err)
		}
	}
	// A disk image that begins with zeros ends at once, for who reads it as an archive.
	if !any && x.in.any {
		return x.notTar(fault.Invalidf("the archive holds no file"), false)
	}
	if err := x.in.finish(); err != nil {
		return corrupt(err)
	}
	return nil
}

// notTar explains why an image has no first entry: it may be something else.
func (x *extractor) notTar(err error, any bool) error {
	if any {
		return err
	}
	if other := expectKind("tar", x.in.ahead.buf[:min(len(x.in.ahead.buf), kindHead)]); other != nil {
		return other
	}
	return err
}

// corrupt explains an error of the parser to who made the image.
func corrupt(err error) error {
	switch {
	case errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("not a tar archive, or a corrupt one: %w", err)
	case err == io.ErrUnexpectedEOF:
		return fmt.Errorf("the archive is truncated: %w", err)
	case strings.HasSuffix(err.Error(), "sparse map too long"):
		return fault.Invalidf("a sparse file has too many holes, its map more than 1 MiB: make the archive without --sparse (%w)", err)
	}
	return err
}

func (x *extractor) entry(h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader, 'V': // a comment; the name of a volume
		return nil
	}
	x.count(0, 1)
	x.root.trim()
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	a, err := attrsOf(h)
	if err != nil {
		return err
	}
	if name == "." && h.Typeflag != tar.TypeDir {
		return errors.New("the root can only be a directory")
	}
	if err := x.extract(name, h, a, content); err != nil {
		return err
	}
	if len(a.acls) > 0 && h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeLink {
		x.later = append(x.later, pending{name: name, attrs: a})
		x.named = true
	}
	return nil
}

func (x *extractor) extract(name string, h *tar.Header, a attrs, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return x.regular(name, h, a, content)
	case tar.TypeDir, 'D': // 'D': a directory in GNU tar's incremental archives
		return x.directory(name, a)
	case tar.TypeLink:
		return x.hardLink(name, h.Linkname)
	case tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return x.special(name, h, a)
	}
	return fmt.Errorf("unknown type of entry %q", h.Typeflag)
}

func processUmask() uint32 {
	// Only /proc tells the mask without changing it.
	mask, err := readUmask("/proc/self/status")
	if err != nil {
		return 0o777 // unknown: set every mode explicitly
	}
	return mask
}
