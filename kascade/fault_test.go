package kascade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crashAt makes a node die without a word when its sink has got so many bytes.
func (r *rig) crashAt(name string, bytes int) {
	var control io.Closer
	r.wrap[name] = func(c io.ReadWriteCloser) io.ReadWriteCloser { control = c; return c }
	r.sinks[name].onWrite = func(total int) error {
		if total >= bytes {
			control.Close()
			r.cancel[name]()
			return errors.New("the node is dead")
		}
		return nil
	}
}

// silent is a control link that says and hears nothing any more once it is told so.
type silent struct {
	io.ReadWriteCloser
	quiet  atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (s *silent) Write(b []byte) (int, error) {
	if s.quiet.Load() {
		return len(b), nil
	}
	return s.ReadWriteCloser.Write(b)
}

func (s *silent) Read(b []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(b)
	if s.quiet.Load() {
		<-s.closed
		return 0, io.EOF
	}
	return n, err
}

func (s *silent) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.ReadWriteCloser.Close()
}

func TestDeath(t *testing.T) {
	const size = 12 << 20
	for _, c := range []struct {
		name  string
		nodes int
		dead  map[int]int // number of the node, from 1: bytes that its sink gets before
	}{
		{"first", 4, map[int]int{1: 3 << 20}},
		{"last", 4, map[int]int{4: 3 << 20}},
		{"middle, at its first byte", 4, map[int]int{2: 0}},
		{"adjacent", 5, map[int]int{2: 3 << 20, 3: 3 << 20}},
		{"the first three, one after another", 5, map[int]int{1: 2 << 20, 2: 4 << 20, 3: 6 << 20}},
		{"all but one", 4, map[int]int{1: 1 << 20, 2: 1 << 20, 4: 1 << 20}},
		{"all", 3, map[int]int{1: 1 << 20, 2: 2 << 20, 3: 0}},
		{"near the end", 3, map[int]int{1: size - 64<<10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.nodes, size, 64<<10)
			r.head.Window = 1 << 20
			var failed []string
			for i, bytes := range c.dead {
				name := fmt.Sprintf("node-%d", i)
				r.crashAt(name, bytes)
				failed = append(failed, name)
			}
			start := time.Now()
			res, err := r.run(within(t, patience*20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, failed...)
			if d := time.Since(start); d > patience*2*time.Second {
				t.Errorf("took %v: a node that dies with its link must be cut out at once", d)
			}
			if limit := int64(size + len(failed)*(16<<20)); res.Sent > limit {
				t.Errorf("the head sent %d bytes, more than the source and what gaps explain", res.Sent)
			}
		})
	}
}

// TestRandomDeaths kills nodes of a longer chain at random moments, by seed.
func TestRandomDeaths(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			r := newRig(t, 20, 8<<20, 32<<10)
			r.head.Window = 512 << 10
			var failed []string
			for _, i := range rng.Perm(20)[:1+rng.IntN(10)] {
				r.crashAt(r.names[i], rng.IntN(8<<20))
				failed = append(failed, r.names[i])
			}
			res, err := r.run(within(t, patience*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, failed...)
		})
	}
}

func TestDeadBeforeStart(t *testing.T) {
	r := newRig(t, 8, 4<<20, 64<<10)
	for _, i := range []int{1, 2, 5, 8} {
		r.wrap[fmt.Sprintf("node-%d", i)] = func(c io.ReadWriteCloser) io.ReadWriteCloser { c.Close(); return c }
	}
	start := time.Now()
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-1", "node-2", "node-5", "node-8")
	if d := time.Since(start); d > patience*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestSilentBeforeStart: nodes that never answer cost the others the short wait, once,
// and not the long one for each.
func TestSilentBeforeStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6, 4<<20, 64<<10)
	r.head.DeadAfter, r.head.StartWithin = time.Second, patience*time.Second
	for _, i := range []int{1, 3, 4} {
		r.wrap[fmt.Sprintf("node-%d", i)] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
			s := &silent{ReadWriteCloser: c, closed: make(chan struct{})}
			s.quiet.Store(true)
			return s
		}
	}
	var allDone atomic.Int64
	r.head.Report = 10 * time.Millisecond
	r.head.Progress = func(p Progress) {
		done := 0
		for _, n := range p.Nodes {
			if n.State == Done {
				done++
			}
		}
		if done == 3 {
			allDone.CompareAndSwap(0, int64(p.Elapsed))
		}
	}
	// The silent ones end by their own cancellation, as a machine that is switched off would.
	go func() {
		<-time.After(patience * 1200 * time.Millisecond)
		for _, i := range []int{1, 3, 4} {
			r.cancel[fmt.Sprintf("node-%d", i)]()
		}
	}()
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-1", "node-3", "node-4")
	if !strings.Contains(res.Nodes["node-3"].Error(), fmt.Sprintf("did not answer within %ds", patience)) {
		t.Errorf("node-3: %v", res.Nodes["node-3"])
	}
	if d := time.Duration(allDone.Load()); d == 0 || d > patience*900*time.Millisecond {
		t.Errorf("the others were done after %v, should not have waited for the silent ones", d)
	}
}

// TestVanish: a node stops answering on its control link while its sink blocks; its
// readers get nothing.
func TestVanish(t *testing.T) {
	for _, i := range []int{1, 2, 4} {
		t.Run(fmt.Sprint("node ", i), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 4, 8<<20, 64<<10)
			r.head.DeadAfter, r.head.Window = patience*time.Second, 512<<10
			name := r.names[i-1]
			var link *silent
			r.wrap[name] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
				link = &silent{ReadWriteCloser: c, closed: make(chan struct{})}
				return link
			}
			sink := r.sinks[name]
			sink.onWrite = func(total int) error {
				if total < 2<<20 {
					return nil
				}
				link.quiet.Store(true)
				time.AfterFunc(patience*1500*time.Millisecond, r.cancel[name])
				<-sink.aborted
				return errors.New("aborted")
			}
			start := time.Now()
			res, err := r.run(within(t, patience*20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, name)
			if !strings.Contains(fmt.Sprint(res.Nodes[name]), "vanished") {
				t.Errorf("%s: %v", name, res.Nodes[name])
			}
			if res.Elapsed > patience*1800*time.Millisecond {
				t.Errorf("took %v (%v with the node's own end)", res.Elapsed, time.Since(start))
			}
		})
	}
}

func TestSinkFailure(t *testing.T) {
	noSpace := errors.New("no space left on device")
	for _, c := range []struct {
		name   string
		write  map[int]int // node: bytes after which its sink fails
		commit []int
	}{
		{"first, at the first byte", map[int]int{1: 0}, nil},
		{"middle", map[int]int{2: 3 << 20}, nil},
		{"last", map[int]int{4: 1 << 20}, nil},
		{"all", map[int]int{1: 0, 2: 1 << 20, 3: 2 << 20, 4: 3 << 20}, nil},
		{"commit", nil, []int{1, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 4, 8<<20, 64<<10)
			r.head.Window = 512 << 10
			var failed []string
			for i, bytes := range c.write {
				failed = append(failed, r.names[i-1])
				r.sinks[r.names[i-1]].onWrite = func(total int) error {
					if total >= bytes {
						return noSpace
					}
					return nil
				}
			}
			for _, i := range c.commit {
				failed = append(failed, r.names[i-1])
				r.sinks[r.names[i-1]].commitErr = noSpace
			}
			res, err := r.run(within(t, patience*20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, failed...)
			for _, f := range failed {
				if !strings.Contains(fmt.Sprint(res.Nodes[f]), noSpace.Error()) || !errors.Is(r.joins[f], noSpace) {
					t.Errorf("%s: head says %v, Join says %v, want %v", f, res.Nodes[f], r.joins[f], noSpace)
				}
			}
			if res.Sent > r.m.Size {
				t.Errorf("the head sent %d bytes: somebody noticed", res.Sent)
			}
		})
	}
}

// TestDamage: a link flips bytes; the chunk comes again from the head and nobody gets
// a wrong byte.
func TestDamage(t *testing.T) {
	r := newRig(t, 4, 4<<20, 64<<10)
	r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, fault: func(conn int, offset int64, b []byte) (int, bool) {
			// A payload byte of chunks 3 and 40; headers have 12 bytes each.
			for _, chunk := range []int64{3, 40} {
				if at := 72 + 5000 + chunk*(64<<10+12) - offset; conn == 0 && 0 <= at && at < int64(len(b)) {
					b[at] ^= 0x10
				}
			}
			return len(b), false
		}}
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	if want := int64(2 * 2 * 64 << 10); res.Refetched != want {
		t.Errorf("Refetched = %d, want %d: two chunks for the two nodes behind the link", res.Refetched, want)
	}
}

// TestDamageWithoutEnd: a link that damages everything makes the nodes behind it fail,
// not succeed.
func TestDamageWithoutEnd(t *testing.T) {
	r := newRig(t, 3, 8<<20, 64<<10)
	r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, fault: func(_ int, offset int64, b []byte) (int, bool) {
			for i := range b {
				if at := (offset + int64(i) - 72) % (64<<10 + 12); offset+int64(i) >= 72 && at == 100 {
					b[i] ^= 1
				}
			}
			return len(b), false
		}}
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-3")
	if !strings.Contains(fmt.Sprint(res.Nodes["node-3"]), "more than 64 chunks arrived damaged") {
		t.Errorf("node-3: %v", res.Nodes["node-3"])
	}
}

// TestLossyNetwork cuts, stalls and damages data connections at random, by seed. The
// nodes live, so all of them must succeed.
func TestLossyNetwork(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newRig(t, 10, 6<<20, 32<<10)
			r.head.Window, r.head.DeadAfter = 256<<10, patience*time.Second
			for i, name := range r.names {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				var mu sync.Mutex
				r.wrap[name] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
					return &proxied{ReadWriteCloser: c, t: t, fault: func(conn int, _ int64, b []byte) (int, bool) {
						mu.Lock()
						defer mu.Unlock()
						switch x := rng.IntN(1000); {
						case conn > 2:
						case x < 5:
							return rng.IntN(len(b) + 1), false
						case x < 6:
							return 0, true
						case x < 10 && len(b) > 200:
							b[100+rng.IntN(len(b)-100)] ^= 1
						}
						return len(b), false
					}}
				}
			}
			res, err := r.run(within(t, patience*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res)
		})
	}
}

// TestUnreachable: nobody can connect to a node's data port; it is fed, and the chain
// goes round it.
func TestUnreachable(t *testing.T) {
	r := newRig(t, 4, 4<<20, 64<<10)
	r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, fault: func(int, int64, []byte) (int, bool) { return 0, false }}
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
}

func TestCancelHead(t *testing.T) {
	r := newRig(t, 4, 8<<20, 64<<10)
	ctx, cancel := context.WithCancelCause(within(t, patience*20*time.Second))
	stop := errors.New("the operator pressed ^C")
	r.sinks["node-3"].onWrite = func(total int) error {
		if total > 2<<20 {
			cancel(stop)
			<-r.sinks["node-3"].aborted
			return errors.New("aborted")
		}
		return nil
	}
	res, err := r.run(ctx)
	if !errors.Is(err, stop) {
		t.Errorf("Broadcast: %v, want %v", err, stop)
	}
	if e := fmt.Sprint(res.Nodes["node-3"]); !strings.Contains(e, "^C") {
		t.Errorf("node-3: %s", e)
	}
	if e := fmt.Sprint(r.joins["node-3"]); !strings.Contains(e, "stopped by the head: cancelled") {
		t.Errorf("Join of node-3: %s", e)
	}
}

func TestCancelNode(t *testing.T) {
	r := newRig(t, 4, 8<<20, 64<<10)
	r.sinks["node-2"].onWrite = func(total int) error {
		if total > 2<<20 {
			r.cancel["node-2"]()
			<-r.sinks["node-2"].aborted
			return errors.New("aborted")
		}
		return nil
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-2")
	if e := fmt.Sprint(res.Nodes["node-2"]); !strings.Contains(e, "cancelled on the node") {
		t.Errorf("node-2: %s", e)
	}
}

// TestStalledSink: a sink that does not take anything for a while stops nobody before it
// or behind it until the window is used up, and afterwards everything arrives.
func TestStalledSink(t *testing.T) {
	r := newRig(t, 3, 4<<20, 64<<10)
	r.head.Window = 8 << 20
	others := make(chan struct{})
	var done atomic.Int32
	for _, name := range []string{"node-1", "node-3"} {
		r.sinks[name].onWrite = func(total int) error {
			if total == 4<<20-64<<10 && done.Add(1) == 2 {
				close(others)
			}
			return nil
		}
	}
	r.sinks["node-2"].onWrite = func(int) error { <-others; return nil }
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
}

func TestSourceChanged(t *testing.T) {
	r := newRig(t, 3, 1<<20, 64<<10)
	other := randomSource(7, 1<<20)
	r.src = other
	_, err := r.run(within(t, patience*20*time.Second))
	if !errors.Is(err, errChanged) {
		t.Errorf("Broadcast: %v, want %v", err, errChanged)
	}
	for _, name := range r.names {
		if r.joins[name] == nil || r.sinks[name].len() != 0 {
			t.Errorf("%s: Join returned %v, sink got %d bytes", name, r.joins[name], r.sinks[name].len())
		}
	}
}

// truncated is a source that ends too early.
type truncated struct{ memory }

func (s truncated) ReadAt(b []byte, at int64) (int, error) {
	if at >= s.Size()/2 {
		return 0, io.EOF
	}
	return s.memory.ReadAt(b, at)
}

func TestSourceTruncated(t *testing.T) {
	r := newRig(t, 2, 1<<20, 64<<10)
	_, nodeEnd := tcpPair(t)
	nodeEnd.Close()
	a, b := tcpPair(t)
	joined := make(chan error)
	go func() { joined <- Join(context.Background(), b, newMemorySink(), NodeOptions{}) }()
	_, err := Broadcast(within(t, 10*time.Second), truncated{r.src}, r.m, []Peer{{Name: "a", Host: "127.0.0.1", Control: a}}, HeadOptions{})
	if !errors.Is(err, errChanged) {
		t.Errorf("Broadcast: %v", err)
	}
	if err := <-joined; err == nil {
		t.Error("Join returned nil")
	}
}
