package imagebench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"kadeploy/agent/internal/image"
)

// chunk is how much at a time comes from a broadcast chain.
const chunk = 1 << 20

// Job is one extraction of ours.
type Job struct {
	Kind, Compression string
	NoFlush           bool
	Input, Target     string
}

// Extract does what the agent does with an image that arrives as fast as it can be taken.
func Extract(ctx context.Context, j Job) error {
	in, err := os.Open(j.Input)
	if err != nil {
		return err
	}
	defer in.Close()
	sink, err := j.sink(ctx)
	if err != nil {
		return err
	}
	buf := make([]byte, chunk)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := sink.Write(buf[:n]); err != nil {
				sink.Abort(err)
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return sink.Commit(ctx)
		}
		if err != nil {
			sink.Abort(err)
			return err
		}
	}
}

func (j Job) sink(ctx context.Context) (*image.Sink, error) {
	switch j.Kind {
	case "tar":
		return image.NewTarSink(ctx, image.TarOptions{Root: j.Target, Compression: j.Compression, NoFlush: j.NoFlush})
	case "dd":
		return image.NewRawSink(ctx, image.RawOptions{Device: j.Target, Compression: j.Compression})
	}
	return nil, fmt.Errorf("unknown kind %q: use tar or dd", j.Kind)
}
