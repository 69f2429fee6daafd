package kascade

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// tuneSocket chooses cubic before the socket connects or listens (accepted ones inherit
// it): a host that defaults to BBR pays twice the CPU on a chain of local links, and set
// later its pacing timer would stay. Where cubic is missing the default serves, too.
func tuneSocket(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
}
