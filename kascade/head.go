package kascade

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kadeploy/kascade/internal/chain"
	"kadeploy/kascade/internal/wire"
)

// tick is how often the head looks for silent nodes.
const tick = 50 * time.Millisecond

// stoppedWait is how long a node that is stopped may take to close its link. Most of them
// are dead.
const stoppedWait = 500 * time.Millisecond

// Broadcast is the head: it returns when every peer has either proved that it
// consumed everything or failed, and has closed every peer's control link. An error is
// returned only if the head itself could not work, or ctx ended; the peers' failures
// are in the Result, which is nil only if nothing was begun.
//
// Without a manifest (m is nil) it is made while the bytes flow, and returned in the
// Result. src may be a Stream then.
func Broadcast(ctx context.Context, src Source, m *Manifest, peers []Peer, opts HeadOptions) (*Result, error) {
	h, err := newHead(src, m, peers, opts)
	if err != nil {
		for _, p := range peers {
			p.Control.Close()
		}
		return nil, fmt.Errorf("broadcast: %w", err)
	}
	return h.run(ctx)
}

// head is one broadcast. The goroutine of run owns the chain.
type head struct {
	src    Source
	m      *Manifest // nil if it is made meanwhile:
	intake *intake   // nil if there is a manifest
	close  func()    // of the source, if it is a Stream
	opts   HeadOptions
	log    *slog.Logger
	peers  []*peer // a node's number is its place here
	key    [wire.KeySize]byte

	chunkSize int
	packer    *packer     // nil: nothing is compressed
	digests   *digestList // those of the manifest, as far as they are known
	claims    *claims

	chain     *chain.Chain
	events    chan chain.Event
	failed    chan error // why the head itself cannot go on
	port      *dataPort
	feeds     *feeds
	refetched atomic.Int64
	rates     []nodeRates
	wg        sync.WaitGroup
}

// peer is one node, at the head.
type peer struct {
	Peer
	link   *link
	teller *teller
	port   uint16 // of the node's data port, once it is ready
	// answered is set by READY: what it holds may still have to be compared.
	answered atomic.Bool
	// headHost is where the node reaches the head's data port.
	headHost string
}

func newHead(src Source, m *Manifest, peers []Peer, opts HeadOptions) (*head, error) {
	if len(peers) > wire.MaxNodes {
		return nil, fmt.Errorf("%d nodes, the limit is %d", len(peers), wire.MaxNodes)
	}
	opts.Window = cmp.Or(opts.Window, DefaultWindow)
	opts.DeadAfter = max(cmp.Or(opts.DeadAfter, DefaultDeadAfter), silenceOf(len(peers)))
	opts.StartWithin = cmp.Or(opts.StartWithin, DefaultStartWithin)
	opts.Report = cmp.Or(opts.Report, DefaultReport)
	h := &head{src: src, m: m, opts: opts, log: opts.Logger, events: make(chan chain.Event, 1024), failed: make(chan error, 1), close: func() {}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	rand.Read(h.key[:])
	names := map[string]bool{}
	for _, p := range sorted(peers, opts.Order) {
		if p.Name == "" || names[p.Name] {
			return nil, fmt.Errorf("name %q of a node is empty or not unique", p.Name)
		}
		names[p.Name] = true
		h.peers = append(h.peers, &peer{Peer: p, link: newLink(p.Control), teller: h.newTeller()})
		h.peers[len(h.peers)-1].link.every.Store(int64(beatOf(len(peers))))
	}
	h.rates = make([]nodeRates, len(peers))
	return h, h.prepare()
}

// sorted is the peers in the chain's order.
func sorted(peers []Peer, order []string) []Peer {
	place := map[string]int{}
	for i, name := range order {
		place[name] = i - len(order)
	}
	s := slices.Clone(peers)
	slices.SortStableFunc(s, func(a, b Peer) int {
		if c := cmp.Compare(place[a.Name], place[b.Name]); c != 0 {
			return c
		}
		return CompareNames(a.Name, b.Name)
	})
	return s
}

// fatal notes that the head cannot go on; the first reason counts.
func (h *head) fatal(err error) {
	select {
	case h.failed <- err:
	default:
	}
}

func (h *head) run(outer context.Context) (*Result, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(outer))
	defer cancel()
	start := time.Now()
	cfg := chain.Config{Size: h.size(), Window: h.opts.Window, DeadAfter: h.opts.DeadAfter, StartWithin: h.opts.StartWithin, Chains: h.opts.Chains, Slow: h.opts.Slow.policy()}
	for _, p := range h.peers {
		cfg.Names = append(cfg.Names, p.Name)
	}
	h.chain = chain.New(cfg)
	h.feeds = newFeeds(h.chunkSize)
	h.packer = newPacker(h.opts.Compress)
	var err error
	if h.port, err = listen(ctx, h.opts.Listen, h.key[:], h.opts.Encrypt, h.log, h.open); err != nil {
		for _, p := range h.peers {
			p.link.close()
		}
		h.close()
		return nil, fmt.Errorf("broadcast: %w", err)
	}
	h.wg.Go(func() { h.port.run(ctx) })
	h.wg.Go(func() { h.announce(ctx) })
	if h.intake != nil {
		h.wg.Go(func() {
			if err := h.intake.run(ctx); err != nil && ctx.Err() == nil {
				h.fatal(err)
			}
		})
	}
	var links sync.WaitGroup
	for i := range h.peers {
		links.Go(func() { h.serve(outer, i) })
	}
	err = h.decide(outer, start)
	elapsed := time.Since(start)
	h.partAll(&links)
	cancel()
	h.wg.Wait()
	h.close()
	return h.result(elapsed), err
}

// decide feeds the chain with events until it is over, and obeys it.
func (h *head) decide(outer context.Context, start time.Time) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	// The chain's clock does not run on while this process sleeps: what the nodes said
	// meanwhile is not read yet, and their silence means nothing.
	var now, reported, fed time.Duration
	last := start
	var known chain.Source
	step := func(ev chain.Event) {
		t := time.Now()
		now += min(t.Sub(last), 4*tick)
		last = t
		// A node that has heard of the size may say so in ev: the chain must know it first.
		if _, due := ev.(chain.Tick); due || h.size() != known.Size {
			if s := h.known(); s != known {
				known = s
				for _, cmd := range h.chain.Step(now, s) {
					h.obey(cmd)
				}
			}
		}
		for _, cmd := range h.chain.Step(now, ev) {
			h.obey(cmd)
		}
	}
	resume := func() {
		for _, ev := range h.resume(now) {
			step(ev)
		}
	}
	var failure error
	end := func(err error) {
		if failure == nil {
			failure = err
			step(chain.Cancel{Reason: "cancelled: " + err.Error()})
		}
	}
	done := outer.Done()
	for step(chain.Tick{}); !h.chain.Over(); {
		select {
		case ev := <-h.events:
			step(ev)
			if _, held := ev.(chain.Answered); held {
				resume()
			}
		case <-done:
			done = nil
			end(context.Cause(outer))
		case err := <-h.failed:
			end(fmt.Errorf("broadcast: %w", err))
		case <-ticker.C:
			for len(h.events) > 0 {
				step(<-h.events)
			}
			if now-fed >= beat {
				fed = now
				for _, ev := range h.feeds.events() {
					step(ev)
				}
			}
			resume()
			step(chain.Tick{})
			if h.opts.Progress != nil && time.Since(start)-reported >= h.opts.Report {
				reported = time.Since(start)
				h.opts.Progress(h.progress(reported, now))
			}
		}
	}
	if h.opts.Progress != nil {
		h.opts.Progress(h.progress(time.Since(start), now))
	}
	return failure
}

// obey does what the chain commands.
func (h *head) obey(cmd chain.Command) {
	switch c := cmd.(type) {
	case chain.Attach:
		h.log.Debug("attach", "node", h.peers[c.Node].Name, "previous", h.name(c.Previous), "generation", c.Gen)
		m := &wire.Attach{Gen: c.Gen, Previous: wire.HeadID, Name: "head", Host: h.peers[c.Node].headHost, Port: h.port.number()}
		if c.Previous != chain.Head {
			p := h.peers[c.Previous]
			m.Previous, m.Name, m.Host, m.Port = uint32(c.Previous), p.Name, p.Host, p.port
		}
		if h.intake != nil && c.Previous == chain.Head {
			h.intake.expect(uint32(c.Node))
		}
		h.peers[c.Node].link.send(m)
	case chain.Expect:
		h.peers[c.Node].link.send(&wire.Expect{Reader: uint32(c.Reader), Gen: c.Gen, From: uint64(c.From)})
	case chain.Drop:
		if c.Node == chain.Head {
			h.port.drop(uint32(c.Reader))
			if h.intake != nil {
				h.intake.arrived(uint32(c.Reader))
			}
		} else {
			h.peers[c.Node].link.send(&wire.Drop{Reader: uint32(c.Reader)})
		}
	case chain.Release:
		h.part(c.Node, &wire.Release{}, partingWait)
	case chain.Stop:
		h.log.Warn("node stopped", "node", h.peers[c.Node].Name, "reason", c.Reason)
		h.part(c.Node, &wire.Stop{Reason: c.Reason}, stoppedWait)
	case chain.Pace:
		h.feeds.pace(uint32(c.Node), c.On)
		if h.intake != nil {
			h.intake.aside(uint32(c.Node), c.On)
		}
	case chain.Slow:
		h.log.Warn("node is slow", "node", h.peers[c.Node].Name, "cause", c.Cause)
	default:
		panic(fmt.Sprintf("kascade: unknown command %v", cmd))
	}
}

// name is how a node is called in messages.
func (h *head) name(i int) string {
	if i == chain.Head {
		return "head"
	}
	return h.peers[i].Name
}

// part sends a node its last message. The node closes the link; one that does not is
// cut off after a while. Closing here at once could reset the link under the message.
func (h *head) part(i int, last wire.Message, wait time.Duration) {
	l := h.peers[i].link
	l.send(last)
	h.wg.Go(func() {
		select {
		case <-l.ended:
		case <-time.After(wait):
			l.close()
		}
	})
}

// partAll waits until every link has ended; part has set a limit to it. What the nodes
// still say interests nobody.
func (h *head) partAll(links *sync.WaitGroup) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range h.events {
		}
	}()
	links.Wait()
	close(h.events)
	<-drained
}

func (h *head) result(elapsed time.Duration) *Result {
	r := &Result{Nodes: map[string]error{}, Sent: h.port.sent.Load(), Refetched: h.refetched.Load(), Elapsed: elapsed, Manifest: h.manifest()}
	for _, i := range h.chain.Order() {
		r.Order = append(r.Order, h.peers[i].Name)
		if v := h.chain.View(i); v.Slow != "" {
			r.Slow = append(r.Slow, SlowNode{Name: h.peers[i].Name, Cause: v.Slow, Side: v.Side})
		}
	}
	for i, p := range h.peers {
		r.Nodes[p.Name] = nil
		if v := h.chain.View(i); v.State != chain.Done {
			r.Nodes[p.Name] = errors.New(v.Reason)
		}
	}
	return r
}
