package kascade

import (
	"context"
	"fmt"
	"math"
	"net"
	"time"

	"kadeploy/kascade/internal/chain"
	"kadeploy/kascade/internal/wire"
)

// serve starts one node and turns what it says into events, until its link ends.
func (h *head) serve(ctx context.Context, i int) {
	p := h.peers[i]
	defer p.link.close()
	host, err := h.hostFor(ctx, p)
	if err != nil {
		h.events <- chain.Gone{Node: i, Reason: err.Error()}
		return
	}
	p.headHost = host
	h.events <- chain.Line{Rate: lineSpeed(host)}
	size := uint64(wire.UnknownSize)
	if h.src.Size() != UnknownSize {
		size = uint64(h.src.Size())
	}
	p.link.send(&wire.Start{
		Version: wire.Version, Self: uint32(i), Nodes: uint32(len(h.peers)), Size: size, ChunkSize: uint32(h.chunkSize),
		Window: uint64(h.opts.Window), DeadAfter: uint32(h.opts.DeadAfter.Milliseconds()), Key: h.key,
		Name: p.Name, HeadHost: host, HeadPort: h.port.number(), Options: h.startOptions(),
	})
	h.wg.Go(func() { p.link.write(p.teller.more, func() wire.Message { return &wire.Ping{} }) })
	err = p.link.read(func(m wire.Message) error {
		ev, err := h.event(i, m)
		if ev != nil {
			h.events <- ev
		}
		return err
	})
	h.events <- chain.Gone{Node: i, Reason: "control link lost: " + err.Error()}
}

// startOptions are the flags of START.
func (h *head) startOptions() (o wire.StartOptions) {
	if h.opts.Encrypt {
		o |= wire.Encrypted
	}
	if h.opts.NoVerify {
		o |= wire.NoVerify
	}
	if h.packer != nil {
		o |= wire.Compressed
	}
	return o
}

// hostFor is the address at which a node reaches the head's data port: what the options
// say, else the local address from which packets to that node leave.
func (h *head) hostFor(ctx context.Context, p *peer) (string, error) {
	if h.opts.Host != "" {
		return h.opts.Host, nil
	}
	if host, _, err := net.SplitHostPort(h.opts.Listen); err == nil && host != "" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			return host, nil
		}
	}
	d := net.Dialer{Timeout: h.opts.StartWithin}
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(p.Host, "9")) // sends nothing
	if err != nil {
		return "", fmt.Errorf("no route to host %q: %w", p.Host, err)
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// event is what a message of node i means to the chain.
func (h *head) event(i int, m wire.Message) (chain.Event, error) {
	switch m := m.(type) {
	case *wire.Ready:
		if m.Version != wire.Version {
			return nil, fmt.Errorf("node speaks version %d of the protocol, the head version %d", m.Version, wire.Version)
		}
		if h.peers[i].answered.Swap(true) {
			return nil, &wire.ProtocolError{What: "READY twice"}
		}
		h.peers[i].port = m.Port
		return h.claim(i, m)
	case *wire.Held:
		return chain.Answered{Node: i}, h.claims.put(i, m)
	case *wire.Ping:
		return chain.Answered{Node: i}, nil
	case *wire.Status:
		return chain.Status{Node: i, Received: int64(m.Received), Consumed: int64(m.Consumed), Oldest: int64(m.Oldest), Full: m.Full, Times: times(m)}, nil
	case *wire.Lost:
		h.log.Info("previous lost", "node", h.peers[i].Name, "kind", m.Kind, "reason", m.Reason)
		return chain.Lost{Node: i, Gen: m.Gen, Gone: m.Kind == wire.LostGone, Reason: m.Reason}, nil
	case *wire.Bad:
		h.log.Warn("chunk arrived damaged", "node", h.peers[i].Name, "chunk", m.Chunk, "crc_ok", m.Kind == wire.BadDigest, "previous", m.Previous)
		return nil, nil
	case *wire.SinkFailed:
		h.log.Warn("sink failed", "node", h.peers[i].Name, "reason", m.Reason)
		return chain.SinkFailed{Node: i, Reason: m.Reason}, nil
	case *wire.Done:
		return chain.Finished{Node: i}, nil
	case *wire.Failed:
		return chain.Gone{Node: i, Reason: m.Reason}, fmt.Errorf("node failed: %s", m.Reason)
	}
	return nil, &wire.ProtocolError{What: fmt.Sprintf("message %d from a node", m.Type())}
}

// times is what a node did, as the chain wants it.
func times(m *wire.Status) chain.Times {
	micros := func(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
	return chain.Times{
		Period: micros(m.Period), Starved: micros(m.Starved), Blocked: micros(m.Blocked), NoRoom: micros(m.NoRoom),
		Sink: micros(m.Sink), Verify: micros(m.Verify), SinkRate: int64(min(m.SinkRate, math.MaxInt64)),
	}
}
