package kascade

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// outlet writes to a data connection and knows for how long the other side took nothing.
type outlet struct {
	conn    net.Conn
	raw     syscall.RawConn // nil: not a socket that can be asked
	blocked *stopwatch
	held    *stopwatch // runs while a write with a limited patience waits, too

	rest   [][]byte // of the write under way
	n      int      // bytes that it wrote
	err    error
	waits  bool // for room
	try    func(fd uintptr) bool
	vector [2][]byte
}

func newOutlet(conn net.Conn, blocked *stopwatch) *outlet {
	o := &outlet{conn: conn, raw: rawConn(conn), blocked: blocked}
	o.try = o.attempt
	return o
}

// forEver is a patience without limit.
const forEver = time.Duration(-1)

// write writes head and data, and returns how many bytes of both. It waits for room in the
// socket for patience at most; running out of it is no error. A connection that is not a
// plain socket takes only forEver.
func (o *outlet) write(head, data []byte, patience time.Duration) (int, error) {
	o.vector = [2][]byte{head, data}
	o.rest, o.n, o.err = o.vector[:], 0, nil
	if len(head) == 0 {
		o.rest = o.rest[1:]
	}
	if o.raw == nil {
		o.blocked.start()
		defer o.blocked.stop()
		bufs := net.Buffers(o.rest)
		n, err := bufs.WriteTo(o.conn)
		return int(n), err
	}
	o.waits = patience < 0
	err := o.raw.Write(o.try)
	if err == nil && o.err == syscall.EAGAIN && patience > 0 {
		o.conn.SetWriteDeadline(time.Now().Add(patience))
		o.waits = true
		o.held.start()
		err = o.raw.Write(o.try)
		o.held.stop()
		o.conn.SetWriteDeadline(time.Time{})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
	}
	o.blocked.stop()
	if err == nil && o.err != syscall.EAGAIN {
		err = o.err
	}
	return o.n, err
}

// attempt writes what the socket takes; false means to call it again when there is room.
func (o *outlet) attempt(fd uintptr) bool {
	for len(o.rest) > 0 {
		var n int
		n, o.err = writeSocket(int(fd), o.rest)
		if o.err != nil {
			break
		}
		o.n += n
		for len(o.rest) > 0 && n >= len(o.rest[0]) {
			n -= len(o.rest[0])
			o.rest = o.rest[1:]
		}
		if len(o.rest) > 0 {
			o.rest[0] = o.rest[0][n:]
		}
	}
	if o.err != syscall.EAGAIN {
		return true
	}
	o.blocked.start()
	return !o.waits
}
