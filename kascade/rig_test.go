package kascade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if relayMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// memory is a Source in memory.
type memory struct{ *bytes.Reader }

func randomSource(seed uint64, size int) memory {
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(seed)})
	rng.Read(b)
	return memory{bytes.NewReader(b)}
}

func (m memory) bytes() []byte {
	b := make([]byte, m.Size())
	m.ReadAt(b, 0)
	return b
}

// memorySink keeps what it gets, and counts how it ended.
type memorySink struct {
	mu      sync.Mutex
	got     bytes.Buffer
	commits int
	aborts  []error

	onWrite   func(total int) error // before each write; its error is the write's
	commitErr error
	aborted   chan struct{}
	resumed   []int64  // places at which it had to go on
	record    []Digest // of the chunks that it was told are verified
}

func newMemorySink() *memorySink { return &memorySink{aborted: make(chan struct{})} }

func (s *memorySink) Write(b []byte) (int, error) {
	if s.onWrite != nil {
		if err := s.onWrite(s.len()); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.Write(b)
}

func (s *memorySink) Resume(from int64, _ int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumed = append(s.resumed, from)
	s.got.Truncate(int(from))
	return nil
}

func (s *memorySink) Verified(chunk int, d Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = append(s.record[:min(chunk, len(s.record))], d)
}

func (s *memorySink) Commit(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits++
	return s.commitErr
}

func (s *memorySink) Abort(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborts = append(s.aborts, cause)
	close(s.aborted)
}

func (s *memorySink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.Len()
}

// rig is a head and nodes in this process, over TCP on the loopback interface.
type rig struct {
	t     *testing.T
	src   memory
	m     *Manifest
	give  func() (Source, *Manifest) // to Broadcast, instead of src and m
	names []string
	sinks map[string]*memorySink
	node  map[string]NodeOptions
	wrap  map[string]func(io.ReadWriteCloser) io.ReadWriteCloser // of the node's end of its control link
	head  HeadOptions

	cancel map[string]context.CancelFunc // of each node
	mu     sync.Mutex
	joins  map[string]error
}

func newRig(t *testing.T, nodes, size, chunk int) *rig {
	r := &rig{
		t: t, src: randomSource(uint64(size), size), sinks: map[string]*memorySink{}, node: map[string]NodeOptions{}, joins: map[string]error{},
		wrap: map[string]func(io.ReadWriteCloser) io.ReadWriteCloser{}, cancel: map[string]context.CancelFunc{},
		head: HeadOptions{Listen: "127.0.0.1:0"},
	}
	var err error
	if r.m, err = NewManifest(io.NewSectionReader(r.src, 0, r.src.Size()), chunk); err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i+1)
		r.names = append(r.names, name)
		r.sinks[name] = newMemorySink()
		r.node[name] = NodeOptions{Listen: "127.0.0.1:0"}
	}
	return r
}

// run broadcasts; every Join has returned when it does.
func (r *rig) run(ctx context.Context) (*Result, error) {
	r.t.Helper()
	var joins sync.WaitGroup
	var peers []Peer
	for _, name := range r.names {
		headEnd, nodeEnd := tcpPair(r.t)
		var control io.ReadWriteCloser = nodeEnd
		if w := r.wrap[name]; w != nil {
			control = w(control)
		}
		nctx, cancel := context.WithCancel(context.Background())
		r.cancel[name] = cancel
		defer cancel()
		joins.Go(func() {
			err := Join(nctx, control, r.sinks[name], r.node[name])
			r.mu.Lock()
			defer r.mu.Unlock()
			r.joins[name] = err
		})
		peers = append(peers, Peer{Name: name, Host: "127.0.0.1", Control: headEnd})
	}
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	var src Source = r.src
	m := r.m
	if r.give != nil {
		src, m = r.give()
	}
	res, err := Broadcast(ctx, src, m, peers, r.head)
	joins.Wait()
	return res, err
}

// check compares the outcome with the names of the nodes that should have failed. Those
// that did not must have every byte, once committed.
func (r *rig) check(res *Result, failed ...string) {
	r.t.Helper()
	bad := map[string]bool{}
	for _, f := range failed {
		bad[f] = true
	}
	if len(res.Nodes) != len(r.names) {
		r.t.Errorf("result has %d nodes, want %d", len(res.Nodes), len(r.names))
	}
	want := r.src.bytes()
	for _, name := range r.names {
		err, sink := res.Nodes[name], r.sinks[name]
		if bad[name] {
			if err == nil {
				r.t.Errorf("%s: succeeded, should have failed", name)
			}
			if r.joins[name] == nil {
				r.t.Errorf("%s: Join returned nil, should have failed", name)
			}
			if sink.commits+len(sink.aborts) != 1 && sink.commitErr == nil {
				r.t.Errorf("%s: %d commits, %d aborts, want one of either", name, sink.commits, len(sink.aborts))
			}
			continue
		}
		if err != nil {
			r.t.Errorf("%s: %v", name, err)
			continue
		}
		if r.joins[name] != nil {
			r.t.Errorf("%s: Join: %v", name, r.joins[name])
		}
		if sink.commits != 1 || len(sink.aborts) != 0 {
			r.t.Errorf("%s: %d commits, aborts %v", name, sink.commits, sink.aborts)
		}
		if !bytes.Equal(sink.got.Bytes(), want) {
			r.t.Errorf("%s: has %d bytes that differ from the source's %d", name, sink.got.Len(), len(want))
		}
	}
}

// tcpPair is two ends of a TCP connection.
func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// within is a context for tests that must not hang.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), d, errors.New("the test takes too long"))
	t.Cleanup(cancel)
	return ctx
}
