package kascade

import (
	"bytes"
	"testing"
	"time"

	"kadeploy/kascade/internal/wire"
)

// TestBeat holds what SPEC, section 8, says of the beat: long chains have a slower one,
// and a node may miss a dozen before it is dead.
func TestBeat(t *testing.T) {
	for _, c := range []struct {
		nodes         int
		beat, silence time.Duration
	}{
		{1, 200 * time.Millisecond, 0},
		{500, 200 * time.Millisecond, 0},
		{1000, 400 * time.Millisecond, 5 * time.Second},
		{5000, 2 * time.Second, 25 * time.Second},
	} {
		if b, s := beatOf(c.nodes), silenceOf(c.nodes); b != c.beat || s != c.silence {
			t.Errorf("%d nodes: beat %v, silence %v; want %v, %v", c.nodes, b, s, c.beat, c.silence)
		}
	}
	if s := silenceOf(wire.MaxNodes); s.Milliseconds() > 1<<32-1 {
		t.Errorf("the silence of the longest chain, %v, does not fit into START", s)
	}
	for _, c := range []struct{ wished, want time.Duration }{{0, 5 * time.Second}, {time.Second, 5 * time.Second}, {time.Minute, time.Minute}} {
		h, err := newHead(bytes.NewReader([]byte("image")), nil, manyPeers(1000), HeadOptions{DeadAfter: c.wished})
		if err != nil {
			t.Fatal(err)
		}
		if h.opts.DeadAfter != c.want || h.peers[999].link.every.Load() != int64(400*time.Millisecond) {
			t.Errorf("1000 nodes, %v wished: dead after %v, beat %v", c.wished, h.opts.DeadAfter, time.Duration(h.peers[999].link.every.Load()))
		}
	}
}

func manyPeers(n int) []Peer {
	peers := make([]Peer, n)
	for i := range peers {
		peers[i] = Peer{Name: "node-" + string(rune('a'+i%26)) + time.Duration(i).String()}
	}
	return peers
}
