package kascade

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// rawSockets says that readSocket and writeSocket work here.
const rawSockets = true

// tuneSocket chooses cubic before the socket connects or listens (accepted ones inherit
// it): a host that defaults to BBR pays twice the CPU on a chain of local links, and set
// later its pacing timer would stay. Where cubic is missing the default serves, too.
func tuneSocket(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
}

// setLowWater sets how many bytes must have arrived before a reader that waits is woken. If
// they have, it is woken now.
func setLowWater(fd, bytes int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
}

// readSocket reads what is there; EAGAIN: nothing.
func readSocket(fd int, b []byte) (n int, err error) {
	for {
		if n, err = unix.Read(fd, b); err != syscall.EINTR {
			return n, err
		}
	}
}

// writeSocket writes what there is room for; EAGAIN: none.
func writeSocket(fd int, b [][]byte) (n int, err error) {
	for {
		if len(b) == 1 {
			n, err = unix.Write(fd, b[0])
		} else {
			n, err = unix.Writev(fd, b)
		}
		if err != syscall.EINTR {
			return n, err
		}
	}
}
