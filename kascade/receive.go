package kascade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// readUnit is how many bytes a relay reads at once, and so how soon it passes them on.
const readUnit = 256 << 10

// receive obeys ATTACH: it reads the stream from the previous of the newest order.
func (n *node) receive(ctx context.Context) {
	for {
		var order *wire.Attach
		select {
		case order = <-n.attach:
		case <-ctx.Done():
			return
		}
		for order != nil && ctx.Err() == nil {
			order = n.obey(ctx, order)
		}
	}
}

// obey reads from one previous until the stream ends, it is lost, or a new order comes,
// which it returns.
func (n *node) obey(ctx context.Context, order *wire.Attach) (next *wire.Attach) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.follow(ctx, order) }()
	select {
	case next = <-n.attach:
		cancel()
		<-ended
		return next
	case err := <-ended:
		if n.win.End() == n.win.Size() {
			n.link.post(n.status)
		} else if err != nil && ctx.Err() == nil {
			n.lost(order, err)
		}
		return nil
	}
}

// lost reports a previous that does not deliver.
func (n *node) lost(order *wire.Attach, err error) {
	kind := wire.LostRead
	var f *feedError
	if errors.As(err, &f) {
		kind = f.kind
	}
	n.log.Info("previous lost", "previous", order.Name, "received", n.win.End(), "error", err)
	n.link.post(n.status)
	n.link.send(&wire.Lost{Gen: order.Gen, Kind: kind, Reason: fmt.Sprintf("%s: %v", order.Name, err)})
}

// feedError is a failure to read from the previous, and at which point.
type feedError struct {
	kind wire.LostKind
	err  error
}

func (e *feedError) Error() string { return e.err.Error() }
func (e *feedError) Unwrap() error { return e.err }

// follow reads the stream from the previous to its end; what the previous has no
// longer comes from the head first.
func (n *node) follow(ctx context.Context, order *wire.Attach) error {
	from, size := n.win.End(), n.win.Size()
	if from == size {
		return nil
	}
	n.log.Debug("attach", "previous", order.Name, "from", from, "generation", order.Gen)
	conn, answer, err := n.dial(ctx, order.Host, order.Port, wire.Request{Kind: wire.Follow, Gen: order.Gen, From: uint64(from), To: n.start.Size})
	if err != nil {
		return err
	}
	defer conn.Close()
	n.feeder.Store(order.Previous)
	start := int64(answer.Start)
	if start < from || start > size {
		return &feedError{wire.LostProtocol, fmt.Errorf("stream from byte %d instead of %d", start, from)}
	}
	if start > from {
		if err := n.fillGap(ctx, start); err != nil {
			return fmt.Errorf("bytes %d to %d from the head: %w", from, start, err)
		}
	}
	return n.pull(ctx, conn, window.Unknown)
}

// fillGap gets the bytes before to from the head.
func (n *node) fillGap(ctx context.Context, to int64) error {
	from := n.win.End()
	n.log.Info("gap", "from", from, "to", to)
	conn, answer, err := n.dialHead(ctx, wire.Request{Kind: wire.Gap, From: uint64(from), To: uint64(to)})
	if err != nil {
		return err
	}
	defer conn.Close()
	if int64(answer.Start) != from {
		return &feedError{wire.LostProtocol, fmt.Errorf("gap from byte %d instead of %d", answer.Start, from)}
	}
	return n.pull(ctx, conn, to)
}

func (n *node) dialHead(ctx context.Context, req wire.Request) (net.Conn, wire.Answer, error) {
	return n.dial(ctx, n.start.HeadHost, n.start.HeadPort, req)
}

func (n *node) dial(ctx context.Context, host string, port uint16, req wire.Request) (net.Conn, wire.Answer, error) {
	req.Reader = n.start.Self
	conn, answer, err := dial(ctx, net.JoinHostPort(host, strconv.Itoa(int(port))), n.start.Key[:], n.start.Options&wire.Encrypted != 0, req)
	if err != nil {
		kind := wire.LostHandshake
		if errors.Is(err, errGone) {
			kind = wire.LostGone
		}
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			kind = wire.LostDial
		}
		return nil, answer, &feedError{kind, err}
	}
	return conn, answer, nil
}

// pull appends what conn brings to the window, up to byte to or to the end.
func (n *node) pull(ctx context.Context, conn net.Conn, to int64) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// All the hops together may wait for a sixty-fourth of the time that the whole takes.
	in := newInlet(conn, &n.starved, int64(n.start.Size)/64/int64(max(1, n.start.Nodes)))
	n.inlet.Store(in)
	defer n.inlet.Store(nil)
	var head [wire.HeaderSize]byte
	for n.win.End() < min(to, n.win.Size()) {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return fmt.Errorf("read header at byte %d: %w", n.win.End(), err)
		}
		h := wire.ReadHeader(head[:])
		if h.Chunk == wire.NoChunk && h.Length == 0 {
			if err := n.awaitSize(ctx); err != nil {
				return err
			}
			continue
		}
		index, length := n.win.Chunk()
		form := window.Form{Length: int(h.Length), CRC: h.CRC, Packed: h.Packed}
		if int64(h.Chunk) != index || !n.plausible(form, length) {
			return &feedError{wire.LostProtocol, fmt.Errorf("header of chunk %d with %d bytes, expected chunk %d with %d", h.Chunk, h.Length, index, length)}
		}
		n.noRoom.start()
		err := n.win.Begin(ctx, form)
		n.noRoom.stop()
		if err != nil {
			return err
		}
		if err := n.fill(in, to); err != nil {
			return err
		}
	}
	return nil
}

// awaitSize waits until the head has said where the source ends. What comes on a data
// connection announces the end, but only the control link is believed.
func (n *node) awaitSize(ctx context.Context) error {
	select {
	case <-n.ends:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// plausible tells whether a chunk of length bytes may come in this form.
func (n *node) plausible(f window.Form, length int) bool {
	if f.Packed {
		return n.start.Options&wire.Compressed != 0 && 0 < f.Length && f.Length < length
	}
	return f.Length == length
}

// fill reads the rest of the chunk, but not beyond byte to, and passes it on as it comes.
// This is where a relay spends its life: one copy from the socket into the window, and from
// there, while it is in the cache, one copy out to the reader that keeps up. The consumer
// hears of it when the chunk is complete.
func (n *node) fill(in *inlet, to int64) error {
	for n.win.End() < to {
		room := n.win.Space()
		if len(room) == 0 {
			return nil
		}
		at := n.win.End()
		room = room[:min(int64(len(room)), to-at, readUnit)]
		got, err := in.Read(room)
		if err != nil {
			return fmt.Errorf("read at byte %d: %w", at, err)
		}
		n.win.Advance(got)
		n.relay.pass()
	}
	return nil
}
