package kascade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// Patience of a node with its head.
const (
	startWait    = 30 * time.Second // for START
	leastSilence = 10 * time.Second // of the head, before a node gives up
	partingWait  = 2 * time.Second  // for the other side to close after the last message
)

// ErrHeadLost is what Join's error, and the cause that Abort is told, wraps when the
// control link broke, or the head fell silent, without a word of the end.
var ErrHeadLost = errors.New("control link lost")

// errReleased ends a node's part well.
var errReleased = errors.New("released by the head")

// Join is a node's part: it obeys the head over control, relays to its successor,
// and feeds the sink with verified bytes. When the sink fails the node goes on
// relaying, and its error is returned at the end. Join closes control before it
// returns; Close must make a blocked Read or Write return.
//
// It returns nil only if every byte was verified and consumed, the sink's Commit
// returned nil, and the head knows.
func Join(ctx context.Context, control io.ReadWriteCloser, sink Sink, opts NodeOptions) error {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	n := &node{
		sink: &guardedSink{sink: sink}, opts: opts, log: log, link: newLink(control),
		started: make(chan struct{}), ends: make(chan struct{}), attach: make(chan *wire.Attach, 1),
	}
	return n.run(ctx)
}

// node is one node's part in one chain.
type node struct {
	sink *guardedSink
	opts NodeOptions
	log  *slog.Logger
	link *link

	ready    bool          // READY was written; belongs to the goroutine that writes, as:
	telling  []Digest      // of what is held, still to be told
	toldHeld int           // digests
	heard    atomic.Int64  // unix nanoseconds of the head's last message
	started  chan struct{} // closed when START was taken
	start    *wire.Start   // what it said
	digests  *digestList
	win      *window.Window
	port     *dataPort
	readers  readers
	relay    relay
	inlet    atomic.Pointer[inlet] // that which is read now
	ends     chan struct{}         // closed when the size is known
	size     int64                 // or window.Unknown; belongs to the goroutine that reads, as:
	claim    int64                 // bytes that the sink is said to hold
	going    atomic.Bool           // win is there
	attach   chan *wire.Attach     // the newest order that the receiver has not taken

	starved  stopwatch // while nothing comes from the previous
	noRoom   stopwatch // while it does not read: the window is full, or the reader is waited for
	sinking  stopwatch // in the sink's Write
	checking stopwatch // in hashing and decompressing
	told     told

	damaged  int    // chunks; belongs to the consumer
	plain    []byte // of the chunk that was decompressed last; belongs to the consumer
	consumed atomic.Int64
	feeder   atomic.Uint32 // number of the node that feeds this one, or wire.HeadID
	wg       sync.WaitGroup
	ctx      context.Context
	end      context.CancelCauseFunc // ends the part, with the reason
}

func (n *node) run(outer context.Context) error {
	n.ctx, n.end = context.WithCancelCause(outer)
	n.heard.Store(time.Now().UnixNano())
	n.wg.Go(func() { n.link.write(n.heldMessages, n.beat) })
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		err := n.link.read(n.handle)
		n.end(fmt.Errorf("%w: %w", ErrHeadLost, err)) // unless it has ended with another reason
	}()
	startTimer := time.AfterFunc(startWait, func() {
		select {
		case <-n.started:
		default:
			n.end(fmt.Errorf("the head did not start within %v", startWait))
		}
	})
	defer startTimer.Stop()

	<-n.ctx.Done()
	cause := context.Cause(n.ctx)
	n.sink.abort(cause)
	n.part(reading, outer, cause)
	if n.win != nil {
		n.win.Close(cause)
	}
	n.wg.Wait()
	return n.outcome(cause)
}

// part says goodbye and closes the control link. A head that is owed a reason gets time
// to read it: closing at once could reset the connection under it.
func (n *node) part(reading chan struct{}, outer context.Context, cause error) {
	var local *localError
	switch {
	case outer.Err() != nil:
		n.link.send(&wire.Failed{Reason: "cancelled on the node: " + cause.Error()})
	case errors.As(cause, &local):
		n.link.send(&wire.Failed{Reason: cause.Error()})
	default:
		n.link.close()
	}
	timer := time.AfterFunc(partingWait, n.link.close)
	<-reading
	timer.Stop()
	n.link.close()
}

// outcome is what Join returns.
func (n *node) outcome(cause error) error {
	if err := n.sink.failure(); err != nil {
		return err
	}
	if errors.Is(cause, errReleased) {
		if !n.sink.done() {
			return errors.New("released by the head before everything was consumed")
		}
		return nil
	}
	return cause
}

// localError is a reason to end that the head does not know yet.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// handle takes one message of the head.
func (n *node) handle(m wire.Message) error {
	n.heard.Store(time.Now().UnixNano())
	if n.ctx.Err() != nil {
		return nil // parting: wait for the head to close
	}
	if n.start == nil {
		s, ok := m.(*wire.Start)
		if !ok {
			return n.before(m)
		}
		return n.begin(s)
	}
	switch m.(type) {
	case *wire.Attach, *wire.Expect, *wire.Drop, *wire.Release:
		if !n.going.Load() {
			return &wire.ProtocolError{What: fmt.Sprintf("message %d before RESUME", m.Type())}
		}
	}
	switch m := m.(type) {
	case *wire.Digests:
		return n.digests.add(m)
	case *wire.Resume:
		return n.resumed(int64(min(m.From, math.MaxInt64)))
	case *wire.Size:
		return n.sized(int64(min(m.Bytes, math.MaxInt64)))
	case *wire.Attach:
		select {
		case <-n.attach: // overtaken
		default:
		}
		n.attach <- m
	case *wire.Drop:
		n.port.drop(m.Reader) // first: so that a connection that just broke keeps nothing
		n.readers.drop(m.Reader)
	case *wire.Expect:
		n.readers.expect(n.win, m)
	case *wire.Release:
		n.end(errReleased)
		return errReleased
	case *wire.Stop:
		return n.stopped(m)
	case *wire.Ping:
	default:
		return &wire.ProtocolError{What: fmt.Sprintf("message %d from the head", m.Type())}
	}
	return nil
}

// before handles what may come before START.
func (n *node) before(m wire.Message) error {
	switch m := m.(type) {
	case *wire.Ping:
		return nil
	case *wire.Stop:
		return n.stopped(m)
	}
	return &wire.ProtocolError{What: fmt.Sprintf("message %d before START", m.Type())}
}

func (n *node) stopped(m *wire.Stop) error {
	err := errors.New("stopped by the head: " + m.Reason)
	n.end(err)
	return err
}

// begin takes START: it opens the data port and starts to work, or, if the sink holds
// something, lets the head find out first what of it is right. An error of its own ends the
// part with FAILED.
func (n *node) begin(s *wire.Start) error {
	size, total, err := checkStart(s)
	if err == nil {
		err = n.opts.Held.check()
	}
	if err == nil {
		n.port, err = listen(n.ctx, n.opts.Listen, s.Key[:], s.Options&wire.Encrypted != 0, n.log, n.open)
	}
	if err != nil {
		n.end(&localError{err})
		return nil
	}
	n.digests = newDigestList(total)
	n.relay.held = &n.noRoom
	context.AfterFunc(n.ctx, func() { n.port.ln.Close() }) // also if the part ends before it is served
	n.port.relay = &n.relay
	n.port.keep = func(ctx context.Context, r wire.Request, place pieces) {
		n.readers.keep(ctx, n.win, r, place.(*window.Reader).At())
	}
	n.start, n.size = s, size
	if size != window.Unknown {
		close(n.ends)
	}
	n.link.every.Store(int64(beatOf(int(min(n.start.Nodes, wire.MaxNodes)))))
	close(n.started)
	held := n.opts.Held
	if held.ChunkSize != int(s.ChunkSize) || s.Options&wire.NoVerify != 0 {
		held = Held{}
	}
	n.claim = held.Bytes
	// READY is queued before anything else can be: an empty source is done at once.
	n.link.post(func() wire.Message {
		n.ready, n.telling = true, held.Digests
		return &wire.Ready{Version: wire.Version, Port: n.port.number(), Held: uint64(held.Bytes), ChunkSize: uint32(held.ChunkSize)}
	})
	if held.Bytes == 0 {
		n.launch(0)
	}
	return nil
}

// launch lets the stream come, from byte from on.
func (n *node) launch(from int64) {
	limit := windowLimit(n.start.Window, n.opts.Window, availableMemory())
	n.win = window.New(n.size, int(n.start.ChunkSize), from, limit)
	n.consumed.Store(from)
	n.told = told{time.Now(), from}
	place := n.win.NewReader(from) // before the first byte can arrive
	n.going.Store(true)
	// Whoever was told earlier than this node to read from it waits in the listener's queue.
	n.wg.Go(func() { n.port.run(n.ctx) })
	n.wg.Go(func() { n.receive(n.ctx) })
	n.wg.Go(func() { n.consume(n.ctx, place) })
}

// resumed takes the head's word on what the sink holds.
func (n *node) resumed(from int64) error {
	if n.going.Load() || from > n.claim || from%int64(n.start.ChunkSize) != 0 && from != n.size {
		return &wire.ProtocolError{What: fmt.Sprintf("RESUME at byte %d", from)}
	}
	n.log.Info("goes on", "from", from, "held", n.claim)
	n.launch(from)
	return nil
}

// heldMessages tells the head what the sink holds, message by message, after READY.
func (n *node) heldMessages() wire.Message {
	count := min(len(n.telling), wire.MaxDigests)
	if count == 0 {
		return nil
	}
	m := &wire.Held{First: uint32(n.toldHeld)}
	for _, d := range n.telling[:count] {
		m.Data = append(m.Data, d[:]...)
	}
	n.telling, n.toldHeld = n.telling[count:], n.toldHeld+count
	return m
}

// sized takes the size of a source that had none at START. Whoever waits for bytes beyond
// it, or for it, goes on.
func (n *node) sized(size int64) error {
	total, err := chunkCount(size, int(n.start.ChunkSize))
	going := n.going.Load()
	if err != nil || n.start.Size != wire.UnknownSize || n.size != window.Unknown || !n.digests.setTotal(total) || going && !n.win.SetSize(size) {
		return &wire.ProtocolError{What: fmt.Sprintf("SIZE says that the source ends at byte %d", size)}
	}
	n.size = size
	close(n.ends)
	if !going {
		return nil
	}
	n.relay.pass() // whoever has all must be told, too
	if n.win.End() == size {
		n.link.post(n.status)
	}
	return nil
}

// checkStart tells whether the node can do what START says; it gives the size and the
// most chunks.
func checkStart(s *wire.Start) (size int64, total int, err error) {
	if s.Version != wire.Version {
		return 0, 0, fmt.Errorf("the head speaks version %d of the protocol, this node version %d: use the same program on both", s.Version, wire.Version)
	}
	if s.Size == wire.UnknownSize {
		_, err := chunkCount(0, int(s.ChunkSize))
		return window.Unknown, MaxChunks, err
	}
	if s.Size > 1<<62 {
		return 0, 0, fmt.Errorf("size of %d bytes", s.Size)
	}
	total, err = chunkCount(int64(s.Size), int(s.ChunkSize))
	if err != nil {
		return 0, 0, err
	}
	return int64(s.Size), total, nil
}

// open decides what a reader gets: the stream, from the byte that it needs or from the
// oldest that is still here.
func (n *node) open(r wire.Request) (wire.Answer, pieces) {
	if !n.going.Load() || r.Kind != wire.Follow || r.To != n.start.Size {
		return wire.Answer{Status: wire.Refused}, nil
	}
	reader := n.readers.admit(n.win, r)
	if reader == nil {
		return wire.Answer{Status: wire.Refused}, nil
	}
	return wire.Answer{Start: uint64(reader.At())}, reader
}

// beat is the node's STATUS; it also watches over the head.
func (n *node) beat() wire.Message {
	if !n.ready {
		return nil
	}
	patience := max(leastSilence, 4*time.Duration(n.start.DeadAfter)*time.Millisecond)
	if silence := time.Since(time.Unix(0, n.heard.Load())); silence > patience {
		n.end(fmt.Errorf("%w: the head was silent for %v", ErrHeadLost, silence.Round(time.Second)))
	}
	if !n.going.Load() {
		return &wire.Ping{}
	}
	if in := n.inlet.Load(); in != nil {
		in.relax()
	}
	return n.status()
}

func (n *node) status() wire.Message {
	// consumed before received: the head checks that it is not more.
	consumed := n.consumed.Load()
	m := &wire.Status{Consumed: uint64(consumed), Received: uint64(n.win.End()), Oldest: uint64(n.win.Oldest()), Full: n.noRoom.running() > 0}
	n.tell(m, consumed)
	return m
}

// told is what the last STATUS said. It belongs to the goroutine that writes.
type told struct {
	at       time.Time
	consumed int64
}

// tell fills in what the node did since its last STATUS.
func (n *node) tell(m *wire.Status, consumed int64) {
	now := time.Now()
	m.Period = micros(now.Sub(n.told.at))
	sinking := n.sinking.take()
	m.Starved, m.Blocked, m.NoRoom = micros(n.starved.take()), micros(n.port.blocked.take()), micros(n.noRoom.take())
	m.Sink, m.Verify = micros(sinking), micros(n.checking.take())
	if sinking > 0 {
		m.SinkRate = uint64(float64(consumed-n.told.consumed) / sinking.Seconds())
	}
	n.told = told{now, consumed}
}

// micros is d in microseconds, as STATUS has it.
func micros(d time.Duration) uint32 { return uint32(min(d.Microseconds(), math.MaxUint32)) }
