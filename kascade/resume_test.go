package kascade

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"kadeploy/kascade/internal/wire"
)

// holds makes a node's sink hold the leading bytes of b, and know it.
func (r *rig) holds(name string, b []byte, chunk int) {
	sink := r.sinks[name]
	sink.got.Reset()
	sink.got.Write(b)
	held := Held{Bytes: int64(len(b)), ChunkSize: chunk}
	for at := 0; at < len(b); at += chunk {
		held.Digests = append(held.Digests, blake3.Sum256(b[at:min(at+chunk, len(b))]))
	}
	o := r.node[name]
	o.Held = held
	r.node[name] = o
}

// sources are the ways in which a head may know its source.
var sources = map[string]func(r *rig) *rig{
	"manifest": func(r *rig) *rig { return r },
	"made":     func(r *rig) *rig { return r.made() },
	"stream":   func(r *rig) *rig { return r.streamed(whole) },
}

func (r *rig) checkResumed(want map[string]int64) {
	r.t.Helper()
	for _, name := range r.names {
		if got := fmt.Sprint(r.sinks[name].resumed); got != fmt.Sprint([]int64{want[name]}) {
			r.t.Errorf("%s: went on at %s, want %d", name, got, want[name])
		}
	}
}

func TestResume(t *testing.T) {
	const size, chunk = 2<<20 + 100, 64 << 10
	for kind, source := range sources {
		for name, c := range map[string]struct {
			held map[string]int
			sent int64
		}{
			"some":                {map[string]int{"node-1": 1 << 20, "node-2": size, "node-4": chunk}, size},
			"all the same":        {map[string]int{"node-1": 1 << 20, "node-2": 1 << 20, "node-3": 1 << 20, "node-4": 1 << 20, "node-5": 1 << 20}, size - 1<<20},
			"all, but not alike":  {map[string]int{"node-1": 20 * chunk, "node-2": 16 * chunk, "node-3": 18 * chunk, "node-4": 17 * chunk, "node-5": size}, size - 16*chunk},
			"everything":          {map[string]int{"node-1": size, "node-2": size, "node-3": size, "node-4": size, "node-5": size}, 0},
			"all but the tail":    {map[string]int{"node-1": 2 << 20, "node-2": 2 << 20, "node-3": size, "node-4": size, "node-5": size}, 100},
			"all but one, by one": {map[string]int{"node-1": chunk, "node-2": 2 * chunk, "node-3": 3 * chunk, "node-4": 4 * chunk}, size},
		} {
			t.Run(kind+": "+name, func(t *testing.T) {
				r := source(newRig(t, 5, size, chunk))
				want := map[string]int64{}
				for node, n := range c.held {
					r.holds(node, r.src.bytes()[:n], chunk)
					want[node] = int64(n)
				}
				res, err := r.run(within(t, patience*20*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				r.check(res)
				r.checkResumed(want)
				r.checkManifest(res)
				// A short stream may be over before it is known what the last one needs.
				if res.Sent != c.sent && (kind != "stream" || res.Sent < c.sent || c.sent == 0) {
					t.Errorf("the head sent %d bytes, want %d", res.Sent, c.sent)
				}
			})
		}
	}
}

func TestResumeOrder(t *testing.T) {
	r := newRig(t, 5, 2<<20+100, 64<<10)
	for name, have := range map[string]int{"node-1": 1 << 20, "node-2": 2<<20 + 100, "node-4": 64 << 10} {
		r.holds(name, r.src.bytes()[:have], 64<<10)
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(res.Order), "[node-3 node-5 node-4 node-1 node-2]"; got != want {
		t.Errorf("order %s, want %s: who has less stands before who has more", got, want)
	}
}

// TestResumeDiffers: what is held is another source's from some chunk on, is of another
// chunk size, is longer than the source, or is a lie.
func TestResumeDiffers(t *testing.T) {
	const size, chunk = 1<<20 + 5, 16 << 10
	for kind, source := range sources {
		t.Run(kind, func(t *testing.T) {
			r := source(newRig(t, 6, size, chunk))
			src := r.src.bytes()
			other := append([]byte(nil), src...)
			other[20*chunk+7] ^= 1
			r.holds("node-1", other[:40*chunk], chunk)              // differs in chunk 20
			r.holds("node-2", src[:10*chunk], 2*chunk)              // other chunks
			r.holds("node-3", append(src, other...), chunk)         // longer; its chunk of the source's tail differs
			r.holds("node-4", randomSource(9, size).bytes(), chunk) // nothing of it
			r.holds("node-5", src[:30*chunk+100], chunk)            // its last chunk is not whole
			r.holds("node-6", src[:25*chunk], chunk)
			o := r.node["node-6"]
			o.Held.Digests = append([]Digest(nil), o.Held.Digests...)
			o.Held.Digests[3] = Digest{1} // says so, though its bytes are right
			r.node["node-6"] = o
			res, err := r.run(within(t, patience*20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res)
			r.checkResumed(map[string]int64{"node-1": 20 * chunk, "node-3": 64 * chunk, "node-5": 30 * chunk, "node-6": 3 * chunk})
		})
	}
}

// TestInterrupted: a broadcast ends at a random moment, by seed; the next one goes on from
// what each sink has verified.
func TestInterrupted(t *testing.T) {
	const size, chunk = 6 << 20, 32 << 10
	for kind, source := range sources {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(kind, " seed ", seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 3))
				first := source(newRig(t, 6, size, chunk))
				first.head.Window = 256 << 10
				for _, name := range first.names {
					stop := (1 + rng.IntN(size/chunk-1)) * chunk
					first.sinks[name].onWrite = func(total int) error {
						if total >= stop {
							return io.ErrShortWrite
						}
						return nil
					}
				}
				if res, err := first.run(within(t, patience*20*time.Second)); err != nil || res.Failed() != 6 {
					t.Fatalf("first: %v", err)
				}
				next := source(newRig(t, 6, size, chunk))
				next.head.Window = 256 << 10
				want, least := map[string]int64{}, int64(size)
				for _, name := range next.names {
					had := first.sinks[name]
					next.holds(name, had.got.Bytes(), chunk)
					if fmt.Sprint(had.record) != fmt.Sprint(next.node[name].Held.Digests) {
						t.Errorf("%s: was told of %d verified chunks, has %d bytes", name, len(had.record), had.got.Len())
					}
					want[name] = int64(had.got.Len())
					least = min(least, want[name])
				}
				res, err := next.run(within(t, patience*20*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				next.check(res)
				next.checkResumed(want)
				if res.Sent < size-least || kind != "manifest" && res.Sent > 2*size {
					t.Errorf("the head sent %d bytes, the last needs %d", res.Sent, size-least)
				}
			})
		}
	}
}

// TestResumeLong: the source is hashed far ahead of what can be sent, for longer than
// StartWithin.
func TestResumeLong(t *testing.T) {
	r := newRig(t, 2, 2<<20, 16<<10)
	r.head.ChunkSize, r.head.StartWithin, r.head.DeadAfter = 16<<10, time.Second, time.Second
	r.holds("node-1", r.src.bytes()[:1<<20], 16<<10)
	r.holds("node-2", r.src.bytes()[:1<<20], 16<<10)
	r.streamed(func(in io.Reader) io.Reader {
		return readerFunc(func(b []byte) (int, error) {
			time.Sleep(20 * time.Millisecond)
			return in.Read(b[:min(len(b), 8<<10)])
		})
	})
	res, err := r.run(within(t, patience*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	r.checkResumed(map[string]int64{"node-1": 1 << 20, "node-2": 1 << 20})
	if res.Sent != 1<<20 {
		t.Errorf("the head sent %d bytes", res.Sent)
	}
}

// TestResumeDeath: a node dies while it is found out what the others hold.
func TestResumeDeath(t *testing.T) {
	r := newRig(t, 3, 1<<20, 16<<10).streamed(whole)
	for _, name := range r.names {
		r.holds(name, r.src.bytes()[:512<<10], 16<<10)
	}
	r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser { return &afterReady{c} }
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-2")
	r.sinks["node-2"].resumed = []int64{512 << 10}
	r.checkResumed(map[string]int64{"node-1": 512 << 10, "node-2": 512 << 10, "node-3": 512 << 10})
}

// afterReady is a link that breaks after READY.
type afterReady struct{ io.ReadWriteCloser }

func (a *afterReady) Write(b []byte) (int, error) {
	n, err := a.ReadWriteCloser.Write(b)
	if wire.Type(b[4]) == wire.TypeReady {
		a.ReadWriteCloser.Close()
	}
	return n, err
}

// TestResumeSinkFails: a sink that cannot go on fails; it goes on relaying.
func TestResumeSinkFails(t *testing.T) {
	if err := (&guardedSink{sink: plainSink{}}).resume(5, 1); err == nil || !strings.Contains(err.Error(), "cannot go on at byte 5") {
		t.Errorf("a sink that is no Resumer: %v", err)
	}
	if err := (&guardedSink{sink: plainSink{}}).resume(0, 1); err != nil {
		t.Errorf("a sink that is no Resumer, from the start: %v", err)
	}
	r := newRig(t, 3, 1<<20, 16<<10)
	r.holds("node-1", r.src.bytes()[:512<<10], 16<<10)
	o := r.node["node-2"]
	o.Held = Held{Bytes: 5, ChunkSize: 1 << 10}
	r.node["node-2"] = o
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-2")
	if e := fmt.Sprint(res.Nodes["node-2"]); !strings.Contains(e, "0 digests for 1 chunks") {
		t.Errorf("node-2: %s", e)
	}
}

type plainSink struct{ Sink }
