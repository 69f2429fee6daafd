package kascade

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// inlet reads a data connection and knows for how long nothing came. On plain TCP it asks
// the socket itself, so that only the waiting counts and not the copying, and so that it
// is woken for more than the packet that has just arrived: on a link slower than the CPU
// most of what a relay costs would be its waking up.
type inlet struct {
	conn    net.Conn
	raw     syscall.RawConn // nil: not a socket that can be asked
	starved *stopwatch

	buf []byte // of the Read under way, its result
	n   int
	err error
	try func(fd uintptr) bool

	batch    int64        // never wait for more bytes than this
	low      atomic.Int64 // bytes for which the socket waits before it wakes us; at least 1
	since    time.Time    // of the measurement of the rate
	received int64        // bytes since then
}

// Limits of waiting for more than has arrived.
const (
	batchTime = 2 * time.Millisecond // adds to the time of each hop
	minBatch  = 8 << 10              // less is not worth it
	rateOver  = 20 * time.Millisecond
)

// newInlet reads conn. batch bounds the bytes that it may wait for at once.
func newInlet(conn net.Conn, starved *stopwatch, batch int64) *inlet {
	in := &inlet{conn: conn, raw: rawConn(conn), starved: starved, batch: batch, since: time.Now()}
	in.low.Store(1)
	in.try = in.attempt
	return in
}

// rawConn is the socket of a plain TCP connection, where this system lets us use it.
func rawConn(conn net.Conn) syscall.RawConn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || !rawSockets {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// Read reads what is there, and waits if nothing is.
func (in *inlet) Read(b []byte) (int, error) {
	if in.raw == nil {
		in.starved.start()
		defer in.starved.stop()
		return in.conn.Read(b)
	}
	in.buf = b
	err := in.raw.Read(in.try)
	in.starved.stop()
	in.buf = nil
	switch {
	case err != nil:
		return 0, err
	case in.err != nil:
		return 0, in.err
	case in.n == 0:
		return 0, io.EOF
	}
	in.received += int64(in.n)
	return in.n, nil
}

// attempt reads what is there; false means to call it again when there is something.
func (in *inlet) attempt(fd uintptr) bool {
	in.n, in.err = readSocket(int(fd), in.buf)
	if in.err != syscall.EAGAIN {
		return true
	}
	in.starved.start()
	in.adapt(int(fd))
	return false
}

// adapt chooses how much must arrive before the socket wakes us: what comes in batchTime
// at the present rate.
func (in *inlet) adapt(fd int) {
	now := time.Now()
	elapsed := now.Sub(in.since)
	if elapsed < rateOver {
		return
	}
	low := min(int64(float64(in.received)*batchTime.Seconds()/elapsed.Seconds()), in.batch, readUnit)
	if low < minBatch {
		low = 1
	}
	in.since, in.received = now, 0
	if old := in.low.Load(); low != old && (low == 1 || low < old*3/4 || low > old*5/4) {
		in.low.Store(low)
		setLowWater(fd, int(low))
	}
}

// relax is called now and then from outside: if the stream has stopped with less than the
// batch in the socket, that is passed on, too.
func (in *inlet) relax() {
	if in.raw != nil && in.low.Load() > 1 && in.starved.running() > rateOver {
		in.low.Store(1)
		in.raw.Control(func(fd uintptr) { setLowWater(int(fd), 1) })
	}
}
