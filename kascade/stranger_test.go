package kascade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kadeploy/kascade/internal/wire"
)

// TestStrangers: who does not know the key gets nothing from a data port and disturbs
// nobody; the port is closed when the chain is over.
func TestStrangers(t *testing.T) {
	r := newRig(t, 3, 4<<20, 64<<10)
	ports := make(chan uint16, 1)
	r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, port: func(p uint16) { ports <- p }}
	}
	var address string
	tried := false
	r.sinks["node-1"].onWrite = func(int) error {
		if tried {
			return nil
		}
		tried = true
		address = fmt.Sprintf("127.0.0.1:%d", <-ports)
		// The wrong key.
		_, _, err := dial(context.Background(), address, make([]byte, 32), false, wire.Request{Kind: wire.Follow, Gen: 99, Reader: 2, To: 4 << 20})
		if !errors.Is(err, io.EOF) {
			t.Errorf("dial with the wrong key: %v, want EOF: closed without an answer", err)
		}
		// Rubbish, and silence: more connections than may wait.
		for i := range maxStrangers + 10 {
			c, err := net.Dial("tcp", address)
			if err != nil {
				continue // too many wait already
			}
			t.Cleanup(func() { c.Close() })
			if i%2 == 0 {
				io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\n", 10))
			}
		}
		return nil
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		c.Close()
		t.Error("the data port is still open after the chain's end")
	}
}

// TestBrokenControl: bytes on a control link that are not the protocol end that node's
// part only.
func TestBrokenControl(t *testing.T) {
	for name, garbage := range map[string][]byte{
		"rubbish":                    []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"a message of the head":      wire.Append(nil, &wire.Release{}),
		"ready at a place of dreams": wire.Append(nil, &wire.Ready{Version: 1, Held: 1 << 63}),
		"done too early":             append(wire.Append(nil, &wire.Ready{Version: 1, Port: 1}), wire.Append(nil, &wire.Done{})...),
		"another version":            wire.Append(nil, &wire.Ready{Version: 9}),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 3, 1<<20, 64<<10)
			r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
				c.Write(garbage)
				return c
			}
			res, err := r.run(within(t, patience*20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, "node-2")
		})
	}
}

// TestBrokenHead: a head that does not speak the protocol ends Join with an error.
func TestBrokenHead(t *testing.T) {
	start := &wire.Start{Version: 1, Size: 10, ChunkSize: 1024, Name: "n"}
	for name, b := range map[string][]byte{
		"rubbish":          []byte("SSH-2.0-OpenSSH_9.2\r\n"),
		"attach first":     wire.Append(nil, &wire.Attach{}),
		"a newer version":  wire.Append(nil, &wire.Start{Version: 2}),
		"huge size":        wire.Append(nil, &wire.Start{Version: 1, Size: 1 << 62, ChunkSize: 1024}),
		"no chunk size":    wire.Append(nil, &wire.Start{Version: 1, Size: 10}),
		"too many digests": append(wire.Append(nil, start), wire.Append(nil, &wire.Digests{Data: make([]byte, 64)})...),
		"started twice":    append(wire.Append(nil, start), wire.Append(nil, start)...),
		"released at once": append(wire.Append(nil, start), wire.Append(nil, &wire.Release{})...),
		"end":              nil,
	} {
		t.Run(name, func(t *testing.T) {
			headEnd, nodeEnd := tcpPair(t)
			go func() {
				headEnd.Write(b)
				headEnd.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, headEnd)
				headEnd.Close()
			}()
			sink := newMemorySink()
			err := Join(within(t, patience*10*time.Second), nodeEnd, sink, NodeOptions{Listen: "127.0.0.1:0"})
			if err == nil || sink.commits != 0 || len(sink.aborts) != 1 {
				t.Errorf("Join = %v, %d commits, %d aborts; want an error and one abort", err, sink.commits, len(sink.aborts))
			}
		})
	}
}

func TestHeadRefuses(t *testing.T) {
	r := newRig(t, 0, 4<<10, 1<<10)
	for name, c := range map[string]struct {
		src   Source
		m     *Manifest
		names []string
	}{
		"name twice":      {r.src, r.m, []string{"a", "b", "a"}},
		"no name":         {r.src, r.m, []string{""}},
		"another source":  {randomSource(1, 5000), r.m, []string{"a"}},
		"broken manifest": {r.src, &Manifest{Size: 4 << 10, ChunkSize: 1 << 10}, []string{"a"}},
	} {
		var peers []Peer
		for _, n := range c.names {
			headEnd, nodeEnd := tcpPair(t)
			defer nodeEnd.Close()
			peers = append(peers, Peer{Name: n, Host: "127.0.0.1", Control: headEnd})
		}
		if res, err := Broadcast(context.Background(), c.src, c.m, peers, HeadOptions{}); err == nil || res != nil {
			t.Errorf("%s: Broadcast = %v, %v, want an error", name, res, err)
		}
		for _, p := range peers {
			if _, err := p.Control.Write([]byte{0}); err == nil {
				t.Errorf("%s: a control link was left open", name)
			}
		}
	}
}
