package service

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"

	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/gpt"
	"kadeploy/agent/internal/image"
	"kadeploy/kascade"
	agentv1 "kadeploy/proto/agent/v1"
)

// Receive implements agentv1.AgentServer.
func (s *Service) Receive(stream agentv1.Agent_ReceiveServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return statusOf(fault.Invalidf("receive: the first message is not an open"))
	}
	if err := s.receive(stream, open); err != nil {
		return statusOf(fmt.Errorf("receive the %s: %w", open.Name, err))
	}
	return nil
}

func (s *Service) receive(stream agentv1.Agent_ReceiveServer, open *agentv1.ReceiveOpen) error {
	ctx := stream.Context()
	leave, err := s.kept.enter(ctx, open.TransferId)
	if err != nil {
		return err
	}
	defer leave()
	k, err := s.keeper(ctx, open)
	if err != nil {
		return err
	}
	options := kascade.NodeOptions{Logger: s.log, Held: k.begin(ctx)}
	if open.Advertise != "" {
		options.Listen = net.JoinHostPort(open.Advertise, "0")
	}
	err = kascade.Join(ctx, newControl(stream), k, options)
	if k.ended(err) {
		s.log.Warn("the session broke; what was received is kept for a while", "transfer", k.id, "bytes", k.held.Bytes)
		s.kept.put(k)
		return err
	}
	defer k.cancel()
	if err != nil {
		return err
	}
	if err := k.after(ctx); err != nil {
		return err
	}
	stats := k.sink.Stats()
	return stream.Send(&agentv1.ReceiveReply{Kind: &agentv1.ReceiveReply_Done{Done: &agentv1.ReceiveDone{
		ConsumedBytes: uint64(stats.Consumed), WrittenBytes: uint64(stats.Written),
		Entries: uint64(stats.Entries), SinkMs: uint64(stats.Tail.Milliseconds()),
	}}})
}

func nothing(context.Context) error { return nil }

// sink is what consumes the stream, and what is left to do when it has.
func (s *Service) sink(ctx context.Context, open *agentv1.ReceiveOpen) (*image.Sink, func(context.Context) error, error) {
	switch kind := open.Sink.(type) {
	case *agentv1.ReceiveOpen_Tar:
		if err := os.MkdirAll(kind.Tar.Root, 0o755); err != nil {
			return nil, nil, err
		}
		sink, err := image.NewTarSink(ctx, image.TarOptions{
			Root: kind.Tar.Root, Compression: kind.Tar.Compression, Clean: kind.Tar.Clean,
		})
		return sink, nothing, err
	case *agentv1.ReceiveOpen_Raw:
		device, err := s.host().Vacate(target(kind.Raw.Target))
		if err != nil {
			return nil, nil, err
		}
		sink, err := image.NewRawSink(ctx, image.RawOptions{
			Device: device.Path, Compression: kind.Raw.Compression, Size: int64(kind.Raw.FileBytes),
		})
		if device.Partition != nil {
			return sink, nothing, err
		}
		return sink, func(ctx context.Context) error { return s.newTable(ctx, device.Path) }, err
	case *agentv1.ReceiveOpen_Fsa:
		sink, err := s.fsaSink(ctx, kind.Fsa)
		return sink, nothing, err
	case *agentv1.ReceiveOpen_Blocks:
		sink, err := s.blocksSink(ctx, kind.Blocks)
		return sink, nothing, err
	case *agentv1.ReceiveOpen_File:
		sink, err := image.NewFileSink(ctx, kind.File.Path, fs.FileMode(kind.File.Mode)&fs.ModePerm)
		return sink, nothing, err
	}
	return nil, nil, fault.Invalidf("no sink is named")
}

// newTable has a whole disk's partitions known to the system, after its image was
// written: the image may come from a smaller disk.
func (s *Service) newTable(ctx context.Context, disk string) error {
	moved, err := gpt.FitDevice(disk)
	if err != nil {
		return err
	}
	if moved {
		s.log.Info("moved the copy of the partition table to the end of the disk", "disk", disk)
	}
	return s.host().Reread(ctx, disk)
}

// control is a call of Receive, seen by the chain as a stream of bytes. The pump
// that feeds it ends with the call, at the latest when Receive returns.
type control struct {
	stream agentv1.Agent_ReceiveServer
	in     *io.PipeReader
	out    sync.Mutex // one Send at a time
	once   sync.Once
}

func newControl(stream agentv1.Agent_ReceiveServer) *control {
	r, w := io.Pipe()
	go func() {
		for {
			message, err := stream.Recv()
			if err != nil {
				w.CloseWithError(err)
				return
			}
			if _, err := w.Write(message.GetControl()); err != nil {
				return // the chain has closed the link
			}
		}
	}()
	return &control{stream: stream, in: r}
}

func (c *control) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *control) Write(p []byte) (int, error) {
	c.out.Lock()
	defer c.out.Unlock()
	// gRPC may still hold the message when Send returns, and the chain may use p again.
	err := c.stream.Send(&agentv1.ReceiveReply{Kind: &agentv1.ReceiveReply_Control{Control: slices.Clone(p)}})
	if err != nil {
		return 0, fmt.Errorf("control link to the coordinator: %w", err)
	}
	return len(p), nil
}

// Close ends the chain's use of the call, not the call: the result is still to
// be sent. A Write never blocks for long, as the coordinator reads until the call ends.
func (c *control) Close() error {
	c.once.Do(func() { c.in.Close() })
	return nil
}
