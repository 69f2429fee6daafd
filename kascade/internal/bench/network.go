package bench

import (
	"net/netip"
	"os/exec"
)

// network is where the head (place 0) and the nodes (places 1 to N) of a case are.
type network interface {
	// address of a place.
	address(place int) netip.Addr
	// start starts a command at a place.
	start(place int, cmd *exec.Cmd) error
	// cut pulls the cable of a place.
	cut(place int) error
	// mend plugs in all cables again.
	mend() error
	// remove takes the network away.
	remove() error
}

// loopback is this machine's own network: nothing to make, nothing to cut.
type loopback struct{}

func (loopback) address(int) netip.Addr { return netip.MustParseAddr("127.0.0.1") }

func (loopback) start(_ int, cmd *exec.Cmd) error { return cmd.Start() }

func (loopback) cut(int) error { return nil }
func (loopback) mend() error   { return nil }
func (loopback) remove() error { return nil }
