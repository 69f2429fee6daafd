package image

import "io"

// Sizes of the decoded data that waits for its consumer: few and hot buffers.
const (
	aheadBuffer = 256 << 10
	aheadCount  = 8
)

// readAhead reads a decoder in a goroutine of its own, some buffers in advance.
type readAhead struct {
	full chan []byte
	free chan []byte
	stop chan struct{}
	err  error // why full was closed

	buf, rest []byte // buffer being consumed, and what is left of it
	ended     bool   // the consumer has seen the end
}

// newReadAhead starts reading r, which it closes at the end.
func newReadAhead(r io.ReadCloser) *readAhead {
	a := &readAhead{
		full: make(chan []byte, aheadCount),
		free: make(chan []byte, aheadCount),
		stop: make(chan struct{}),
	}
	for range aheadCount {
		a.free <- make([]byte, aheadBuffer)
	}
	go a.fill(r)
	return a
}

func (a *readAhead) fill(r io.ReadCloser) {
	defer close(a.full)
	defer r.Close() // before full is closed: who sees its end may reuse what r reads from
	for a.err == nil {
		var buf []byte
		select {
		case buf = <-a.free:
		case <-a.stop:
			a.err = io.ErrClosedPipe
			return
		}
		n := 0
		for n < len(buf) && a.err == nil {
			var m int
			m, a.err = r.Read(buf[n:])
			n += m
		}
		if n > 0 {
			a.full <- buf[:n] // never waits: as many places as buffers
		}
	}
}

// next returns the next bytes, valid until the next call.
func (a *readAhead) next() ([]byte, error) {
	if a.buf != nil {
		a.free <- a.buf[:cap(a.buf)]
		a.buf, a.rest = nil, nil
	}
	buf, ok := <-a.full
	if !ok {
		a.ended = true
		return nil, a.err
	}
	a.buf, a.rest = buf, buf
	return buf, nil
}

func (a *readAhead) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if _, err := a.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close tells the goroutine to end. It does, as soon as what it reads from
// answers or is closed too.
func (a *readAhead) close() { close(a.stop) }
