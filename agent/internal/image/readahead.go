package image

import "io"

// Sizes of the decoded data that waits for its consumer: few and hot buffers.
const (
	aheadBuffer = 256 << 10
	aheadCount  = 8
)

// blocks are decoded data that are made ahead of who consumes them.
type blocks interface {
	// next returns the next bytes, valid until the next call.
	next() ([]byte, error)
	// close ends what makes them, as soon as what that reads from answers or is closed too.
	close()
}

// readAhead reads decoded data, some buffers in advance.
type readAhead struct {
	blocks
	buf   []byte // the block being consumed
	rest  []byte // what is left of it
	ended bool   // the consumer has seen the end
}

// newReadAhead starts reading r, which it closes at the end.
func newReadAhead(r io.ReadCloser) *readAhead {
	if d, ok := r.(*decoder); ok && d.blocks != nil {
		return &readAhead{blocks: d} // it decodes ahead by itself
	}
	return &readAhead{blocks: newPump(r)}
}

func (a *readAhead) next() ([]byte, error) {
	block, err := a.blocks.next()
	a.buf, a.rest, a.ended = block, block, err != nil
	return block, err
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

// pump reads a decoder in a goroutine of its own.
type pump struct {
	full chan []byte
	free chan []byte
	stop chan struct{}
	err  error // why full was closed

	current []byte // handed out by next
}

func newPump(r io.ReadCloser) *pump {
	p := &pump{
		full: make(chan []byte, aheadCount),
		free: make(chan []byte, aheadCount),
		stop: make(chan struct{}),
	}
	for range aheadCount {
		p.free <- make([]byte, aheadBuffer)
	}
	go p.fill(r)
	return p
}

func (p *pump) fill(r io.ReadCloser) {
	defer close(p.full)
	defer r.Close() // before full is closed: who sees its end may reuse what r reads from
	for p.err == nil {
		var buf []byte
		select {
		case buf = <-p.free:
		case <-p.stop:
			p.err = io.ErrClosedPipe
			return
		}
		n := 0
		for n < len(buf) && p.err == nil {
			var m int
			m, p.err = r.Read(buf[n:])
			n += m
		}
		if n > 0 {
			p.full <- buf[:n] // never waits: as many places as buffers
		}
	}
}

func (p *pump) next() ([]byte, error) {
	if p.current != nil {
		p.free <- p.current[:cap(p.current)]
		p.current = nil
	}
	buf, ok := <-p.full
	if !ok {
		return nil, p.err
	}
	p.current = buf
	return buf, nil
}

func (p *pump) close() { close(p.stop) }
