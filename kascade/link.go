package kascade

import (
	"bufio"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"kadeploy/kascade/internal/wire"
)

// beat is the time between two messages on a control link that is otherwise idle, of
// a chain that is not very long.
const beat = 200 * time.Millisecond

// Each node more makes the head read and write more messages: in chains that are longer
// than 500, there is this time between two messages of any nodes, and the beat follows.
const messageEvery = 400 * time.Microsecond

// beatsOfSilence is how many beats a node must at least be allowed to miss.
const beatsOfSilence = 12.5

// beatOf is the beat of a chain of so many nodes; both sides know it.
func beatOf(nodes int) time.Duration { return max(beat, time.Duration(nodes)*messageEvery) }

// silenceOf is the silence after which a node of such a chain is dead, if nothing longer is wished.
func silenceOf(nodes int) time.Duration {
	if b := beatOf(nodes); b > beat {
		return time.Duration(beatsOfSilence * float64(b))
	}
	return 0
}

// outbox is how many messages may wait on a link before the other side counts as dead.
const outbox = 256

// link is one end of a control link. Sending never blocks; one goroutine writes, one reads.
type link struct {
	rw    io.ReadWriteCloser
	out   chan func() wire.Message // called by the goroutine that writes
	close func()                   // once or more; ends read and write
	ended chan struct{}
	more  chan struct{} // more may have something to send
	every atomic.Int64  // the beat, in nanoseconds
}

func newLink(rw io.ReadWriteCloser) *link {
	l := &link{rw: rw, out: make(chan func() wire.Message, outbox), ended: make(chan struct{}), more: make(chan struct{}, 1)}
	l.every.Store(int64(beat))
	l.close = sync.OnceFunc(func() {
		close(l.ended)
		rw.Close()
	})
	return l
}

// send queues m.
func (l *link) send(m wire.Message) { l.post(func() wire.Message { return m }) }

// post queues a message that is made when it is written, so that what it says is never
// older than what was written before; nil is not sent. A link that does not take its messages is closed.
func (l *link) post(make func() wire.Message) {
	select {
	case l.out <- make:
	default:
		l.close()
	}
}

// wake lets write look whether there is something to send.
func (l *link) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// write sends what is queued until the link ends. In between it sends what more
// gives, and each beat what idle gives.
func (l *link) write(more func() wire.Message, idle func() wire.Message) {
	every := l.every.Load()
	timer := time.NewTicker(time.Duration(every))
	defer timer.Stop()
	var buf []byte
	for {
		var m wire.Message
		select {
		case make := <-l.out:
			m = make()
		default:
			if more != nil {
				m = more()
			}
		}
		if m == nil {
			select {
			case make := <-l.out:
				m = make()
			case <-l.more:
				continue
			case <-timer.C:
				if now := l.every.Load(); now != every {
					every = now
					timer.Reset(time.Duration(every))
				}
				if m = idle(); m == nil {
					continue
				}
			case <-l.ended:
				return
			}
		}
		if m == nil {
			continue
		}
		buf = wire.Append(buf[:0], m)
		if _, err := l.rw.Write(buf); err != nil {
			l.close()
			return
		}
	}
}

// read gives each message to handle until the link ends or handle returns an error.
// The error says why it ended; it is never nil.
func (l *link) read(handle func(wire.Message) error) error {
	defer l.close()
	r := wire.NewReader(bufio.NewReader(l.rw))
	for {
		m, err := r.Next()
		if err == nil {
			err = handle(m)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("closed by the other side")
			}
			return err
		}
	}
}
