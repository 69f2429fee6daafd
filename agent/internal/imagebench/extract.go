package imagebench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kadeploy/agent/internal/blockroot"
	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/image"
	"kadeploy/agent/internal/mountinfo"
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
	case "blocks":
		return j.blocks(ctx)
	}
	return nil, fmt.Errorf("unknown kind %q: use tar, dd or blocks", j.Kind)
}

// blocks replaces the file system that is mounted on the target, as a node does:
// written, grown, made its own, checked and mounted again.
func (j Job) blocks(ctx context.Context) (*image.Sink, error) {
	mounts, err := mountinfo.Read()
	if err != nil {
		return nil, err
	}
	point, err := filepath.Abs(j.Target)
	if err != nil {
		return nil, err
	}
	for _, m := range mountinfo.Below(mounts, point) {
		if m.Point != point {
			continue
		}
		w, err := blockroot.New(&disk.Host{}, blockroot.Root{
			Target: disk.Target{Disk: m.Source}, Point: point, Options: "noinit_itable", Label: "ROOT",
		})
		if err != nil {
			return nil, err
		}
		return image.NewBlocksSink(ctx, image.BlocksOptions{Device: w.Device(), Begin: w.Begin, Finish: w.Finish, Undo: w.Undo}), nil
	}
	return nil, fmt.Errorf("nothing is mounted on %s", point)
}
