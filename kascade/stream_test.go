package kascade

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// made makes the rig's head broadcast the source without a manifest.
func (r *rig) made() *rig {
	r.head.ChunkSize = r.m.ChunkSize
	r.give = func() (Source, *Manifest) { return r.src, nil }
	return r
}

// streamed makes the rig's head broadcast the source as a stream, through wrap.
func (r *rig) streamed(wrap func(io.Reader) io.Reader) *rig {
	r.head.ChunkSize = r.m.ChunkSize
	r.give = func() (Source, *Manifest) {
		return NewStream(wrap(io.NewSectionReader(r.src, 0, r.src.Size()))), nil
	}
	return r
}

func whole(r io.Reader) io.Reader { return r }

// checkManifest compares what was made with what NewManifest makes.
func (r *rig) checkManifest(res *Result) {
	r.t.Helper()
	if diff := cmp.Diff(r.m, res.Manifest); diff != "" {
		r.t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

var sizes = []struct{ nodes, size, chunk int }{
	{1, 0, 1 << 10},
	{3, 0, 1 << 10},
	{1, 1, 1 << 10},
	{3, 700, 1 << 10},
	{2, 1 << 10, 1 << 10},
	{4, 64 << 10, 16 << 10},
	{4, 64<<10 + 1, 16 << 10},
	{1, 10<<20 + 17, 1 << 20},
	{5, 1<<20 + 1, 1 << 10},
	{16, 10 << 20, 256 << 10},
	{40, 3<<20 + 3, 64 << 10},
}

func TestMadeManifest(t *testing.T) {
	for _, c := range sizes {
		t.Run(fmt.Sprintf("%d nodes %d bytes by %d", c.nodes, c.size, c.chunk), func(t *testing.T) {
			r := newRig(t, c.nodes, c.size, c.chunk).made()
			res, err := r.run(within(t, 30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res)
			r.checkManifest(res)
			if res.Sent != int64(c.size) {
				t.Errorf("the head sent %d bytes, the source has %d", res.Sent, c.size)
			}
		})
	}
}

func TestStream(t *testing.T) {
	for _, c := range sizes {
		t.Run(fmt.Sprintf("%d nodes %d bytes by %d", c.nodes, c.size, c.chunk), func(t *testing.T) {
			r := newRig(t, c.nodes, c.size, c.chunk).streamed(iotest.HalfReader)
			sizes := map[int64]bool{}
			r.head.Report = time.Millisecond
			r.head.Progress = func(p Progress) { sizes[p.Size] = true }
			res, err := r.run(within(t, 30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res)
			r.checkManifest(res)
			if res.Sent != int64(c.size) {
				t.Errorf("the head sent %d bytes, the source has %d", res.Sent, c.size)
			}
			delete(sizes, UnknownSize)
			if len(sizes) != 1 || !sizes[int64(c.size)] {
				t.Errorf("Progress has the sizes %v", sizes)
			}
		})
	}
}

// once is a source of which every byte may be read once.
type once struct {
	memory
	t    *testing.T
	read atomic.Int64
}

func (o *once) ReadAt(b []byte, at int64) (int, error) {
	if before := o.read.Swap(at + int64(len(b))); before != at {
		o.t.Errorf("read at byte %d after byte %d", at, before)
	}
	return o.memory.ReadAt(b, at)
}

// TestMadeFromOneRead: the bytes that are hashed are those that are sent; nothing is read
// before somebody needs it, and nothing twice.
func TestMadeFromOneRead(t *testing.T) {
	r := newRig(t, 3, 4<<20, 64<<10).made()
	src := &once{memory: r.src, t: t}
	r.give = func() (Source, *Manifest) { return src, nil }
	r.head.Window = 256 << 10
	r.sinks["node-1"].onWrite = func(total int) error {
		if total == 1<<20 {
			time.Sleep(100 * time.Millisecond)
			// Windows, socket buffers and what is read ahead lie between.
			t.Logf("read %d bytes when the first sink had %d", src.read.Load(), total)
		}
		return nil
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	r.checkManifest(res)
}

// TestMadeDeaths: several readers at the head, after failures, share what is read or read again.
func TestMadeDeaths(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			r := newRig(t, 12, 8<<20, 32<<10).made()
			r.head.Window = 512 << 10
			failed := []string{"node-1"}
			r.crashAt("node-1", rng.IntN(8<<20))
			for _, i := range rng.Perm(11)[:1+rng.IntN(6)] {
				r.crashAt(r.names[i+1], rng.IntN(8<<20))
				failed = append(failed, r.names[i+1])
			}
			res, err := r.run(within(t, patience*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, failed...)
			r.checkManifest(res)
		})
	}
}

// TestStreamDeaths: one death at a time is always healed out of windows and replay.
func TestStreamDeaths(t *testing.T) {
	for _, dead := range [][]string{{"node-1"}, {"node-2"}, {"node-6"}, {"node-1", "node-4"}} {
		t.Run(strings.Join(dead, " "), func(t *testing.T) {
			r := newRig(t, 6, 8<<20+5, 32<<10).streamed(whole)
			r.head.Window = 1 << 20
			for i, name := range dead {
				r.crashAt(name, (2+3*i)<<20)
			}
			res, err := r.run(within(t, patience*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, dead...)
			r.checkManifest(res)
		})
	}
}

// TestStreamDamage: a damaged chunk of a stream comes again out of the replay.
func TestStreamDamage(t *testing.T) {
	r := newRig(t, 4, 4<<20, 64<<10).streamed(whole)
	r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, fault: func(conn int, offset int64, b []byte) (int, bool) {
			if at := 72 + 5000 + 3*(64<<10+12) - offset; conn == 0 && 0 <= at && at < int64(len(b)) {
				b[at] ^= 0x10
			}
			return len(b), false
		}}
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	if want := int64(2 * 64 << 10); res.Refetched != want {
		t.Errorf("Refetched = %d, want %d", res.Refetched, want)
	}
}

// TestStreamSlow: a stream that brings nothing for longer than DeadAfter kills nobody.
func TestStreamSlow(t *testing.T) {
	r := newRig(t, 3, 200<<10, 64<<10).streamed(func(in io.Reader) io.Reader {
		read := 0
		return readerFunc(func(b []byte) (int, error) {
			if read++; read == 3 {
				time.Sleep(2500 * time.Millisecond)
			}
			return in.Read(b)
		})
	})
	r.head.DeadAfter = time.Second
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	if res.Sent != r.m.Size {
		t.Errorf("the head sent %d bytes: somebody was attached again", res.Sent)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestStreamLate: a node whose bytes have left the replay fails, with that reason; the
// others do not notice.
func TestStreamLate(t *testing.T) {
	r := newRig(t, 3, 48<<20, 256<<10)
	r.head.Window, r.head.DeadAfter = 256<<10, time.Second
	late := make(chan struct{})
	r.wrap["node-3"] = func(c io.ReadWriteCloser) io.ReadWriteCloser { return &lateWriter{ReadWriteCloser: c, may: late} }
	opened := false
	r.sinks["node-1"].onWrite = func(total int) error {
		if total >= 40<<20 && !opened {
			opened = true
			close(late)
			time.Sleep(patience * 300 * time.Millisecond)
		}
		return nil
	}
	r.streamed(whole)
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-3")
	if e := fmt.Sprint(res.Nodes["node-3"]); !strings.Contains(e, "needs the source from byte 0 on") {
		t.Errorf("node-3: %s", e)
	}
}

// lateWriter says nothing until it may.
type lateWriter struct {
	io.ReadWriteCloser
	may chan struct{}
}

func (l *lateWriter) Write(b []byte) (int, error) {
	<-l.may
	return l.ReadWriteCloser.Write(b)
}

func TestStreamBreaks(t *testing.T) {
	broken := errors.New("input/output error")
	r := newRig(t, 3, 1<<20, 64<<10).streamed(func(in io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(in, 300_000), iotest.ErrReader(broken))
	})
	res, err := r.run(within(t, patience*20*time.Second))
	if !errors.Is(err, broken) {
		t.Errorf("Broadcast: %v, want %v", err, broken)
	}
	for _, name := range r.names {
		if res.Nodes[name] == nil || r.joins[name] == nil || r.sinks[name].commits != 0 {
			t.Errorf("%s: %v, Join %v, %d commits", name, res.Nodes[name], r.joins[name], r.sinks[name].commits)
		}
	}
	if res.Manifest != nil {
		t.Error("there is a manifest of half a source")
	}
}

// TestStreamBlocks: a Read that never returns does not hold up the end of a broadcast.
func TestStreamBlocks(t *testing.T) {
	r := newRig(t, 2, 0, 1<<10)
	in, out := io.Pipe()
	r.give = func() (Source, *Manifest) { return NewStream(in), nil }
	r.cancelSoon(300 * time.Millisecond)
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if res.Failed() != 2 {
		t.Errorf("%v", res.Nodes)
	}
	if _, err := out.Write([]byte{1}); err != io.ErrClosedPipe {
		t.Errorf("the reader was left open: %v", err)
	}
}

// cancelSoon cancels all nodes.
func (r *rig) cancelSoon(after time.Duration) {
	time.AfterFunc(after, func() {
		for _, name := range r.names {
			r.cancel[name]()
		}
	})
}

// TestMadeSourceChanges: a source that changes while it is broadcast is found when a chunk
// is read again; one that gets shorter, at once.
func TestMadeSourceChanges(t *testing.T) {
	r := newRig(t, 2, 1<<20, 64<<10).made()
	src := truncated{r.src}
	r.give = func() (Source, *Manifest) { return src, nil }
	if _, err := r.run(within(t, patience*20*time.Second)); !errors.Is(err, errChanged) {
		t.Errorf("shorter: Broadcast = %v", err)
	}

	r = newRig(t, 2, 4<<20, 64<<10).made()
	changed := &changing{memory: r.src}
	r.give = func() (Source, *Manifest) { return changed, nil }
	r.wrap["node-1"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, fault: func(conn int, offset int64, b []byte) (int, bool) {
			if at := 72 + 5000 + 3*(64<<10+12) - offset; conn == 0 && 0 <= at && at < int64(len(b)) {
				b[at] ^= 0x10 // so that chunk 3 is asked for again, when it is not kept any more
				time.Sleep(200 * time.Millisecond)
			}
			return len(b), false
		}}
	}
	if _, err := r.run(within(t, patience*20*time.Second)); !errors.Is(err, errChanged) {
		t.Errorf("changed: Broadcast = %v", err)
	}
}

// changing gives other bytes when it is read a second time.
type changing struct {
	memory
	end atomic.Int64
}

func (c *changing) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.memory.ReadAt(b, at)
	if at < c.end.Load() && n > 0 {
		b[0] ^= 1
	}
	c.end.Store(max(c.end.Load(), at+int64(n)))
	return n, err
}

func TestStreamRefused(t *testing.T) {
	s := NewStream(strings.NewReader("x"))
	if _, err := Broadcast(t.Context(), s, nil, nil, HeadOptions{ChunkSize: 1}); err == nil || !strings.Contains(err.Error(), "chunk size 1 is not within") {
		t.Errorf("chunk size: %v", err)
	}
	if _, err := Broadcast(t.Context(), s, nil, nil, HeadOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := Broadcast(t.Context(), s, nil, nil, HeadOptions{}); err == nil || !strings.Contains(err.Error(), "was broadcast before") {
		t.Errorf("again: %v", err)
	}
}
