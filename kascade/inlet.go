package kascade

import (
	"io"
	"net"
	"syscall"
)

// inlet reads a data connection and knows for how long nothing came. On plain TCP it asks
// the socket itself, so that only the waiting counts and not the copying.
type inlet struct {
	conn    net.Conn
	raw     syscall.RawConn // nil: not a socket that can be asked
	starved *stopwatch

	buf []byte // of the Read under way, its result
	n   int
	err error
	try func(fd uintptr) bool
}

func newInlet(conn net.Conn, starved *stopwatch) *inlet {
	in := &inlet{conn: conn, raw: rawConn(conn), starved: starved}
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
	return in.n, nil
}

func (in *inlet) attempt(fd uintptr) bool {
	in.n, in.err = readSocket(int(fd), in.buf)
	if in.err != syscall.EAGAIN {
		return true
	}
	in.starved.start()
	return false
}
