package prepare

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"kadeploy/proto/image/compression"
	"kadeploy/proto/image/frames"
)

// Frames is the form of a tar image in which nodes decompress it on all their
// processors (proto/image/frames).
type Frames struct{}

const (
	framesName = "frames"
	// framesKey changes when the frames that are made change.
	framesKey = "1 size=2M level=default"
	// smallImage is decompressed in no time by one processor.
	smallImage = 1 << 20
)

// inputBuffer keeps decoders from reading files in small pieces.
const inputBuffer = 1 << 20

// framesGain tells which compressions are slower to decompress than frames, and
// how many times larger the frames may be for that. lz4 is not: one processor
// decompresses it faster than a node writes.
var framesGain = map[string]float64{"none": 1, "gzip": 1.25, "zstd": 1.25, "bzip2": 2, "xz": 2}

// Name implements Form.
func (Frames) Name() string { return framesName }

// Key implements Form.
func (Frames) Key(im Image) (string, bool) {
	return framesKey, im.Kind == "tar" && im.Size >= smallImage && framesGain[im.Compression] > 0
}

// Make implements Form. The frames come before their index is known: they wait
// in a scratch file.
func (Frames) Make(ctx context.Context, job Job) (err error) {
	src := bufio.NewReaderSize(job.Source, inputBuffer)
	head, err := src.Peek(frames.SniffSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if frames.Sniff(head) {
		return fmt.Errorf("%w: it is in frames already", ErrNoGain)
	}
	plain, err := decompress(src, job.Image.Compression)
	if err != nil {
		return fmt.Errorf("decompress (%s): %w", job.Image.Compression, err)
	}
	defer plain.Close()
	scratch, err := os.Create(filepath.Join(job.Scratch, "frames"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	most := int64(float64(job.Image.Size) * framesGain[job.Image.Compression])
	content := &measured{plain, expands*job.Image.Size + smallImage}
	// One processor is left for whoever deploys meanwhile.
	index, err := frames.Encode(ctx, &limited{scratch, most}, content, frames.Options{Workers: max(runtime.GOMAXPROCS(0)-1, 1)})
	if err != nil {
		return err
	}
	if _, err := job.Out.Write(index.Encode()); err != nil {
		return err
	}
	if _, err := scratch.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(job.Out, scratch)
	return err
}

// decompress reads an image as its description says that it is compressed.
func decompress(r io.Reader, name string) (io.ReadCloser, error) {
	return compression.NewReader(bufio.NewReaderSize(r, inputBuffer), name)
}

// expands is how many times larger than the file its content may be: a system is 2
// to 5 times as large. A few bytes can stand for zeros without end.
const expands = 200

// measured ends where a content is larger than any system's: the work on it would
// keep a processor from others, for as long as its author likes.
type measured struct {
	r    io.Reader
	left int64
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, fmt.Errorf("%w: its content is more than %d times as large as its file", ErrNoGain, expands)
	}
	return n, err
}

// limited gives up when frames become so large that sending them costs more than they save.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, fmt.Errorf("%w: in frames it would be much larger", ErrNoGain)
	}
	return l.w.Write(p)
}
