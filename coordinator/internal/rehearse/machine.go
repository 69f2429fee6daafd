package rehearse

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// machine is one machine. Its lives follow each other: each begins when it is switched
// on or reset, and ends with the next, or with its death.
type machine struct {
	spec    MachineSpec
	address netip.Addr
	world   *world
	cert    tls.Certificate
	seed    uint64     // tells its boots from those of other machines
	rng     *rand.Rand // for the lengths of its delays; belongs to mu

	mu     sync.Mutex
	cancel context.CancelFunc // ends the life; nil: it is off
	ended  chan struct{}      // closed when that life is over
	boots  int
	struck bool
	dead   bool
	system bool // an image was received, and may be booted
}

// GiveImage is an order beside those of power: the machines have the image by another way.
const GiveImage = "image"

// power does what a power command asks for. A machine that died obeys, and stays dark.
func (m *machine) power(op string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch op {
	case "power_status":
		if m.cancel == nil {
			return "off"
		}
		return "on"
	case GiveImage:
		m.system = true
	case "power_off":
		m.stop()
	case "power_on":
		if m.cancel == nil {
			m.start()
		}
	default:
		m.stop()
		m.start()
	}
	return ""
}

// stop ends the life. m.mu is held.
func (m *machine) stop() {
	if m.cancel != nil {
		m.cancel()
		m.cancel = nil
	}
}

// start begins a life, after the one before has ended. m.mu is held.
func (m *machine) start() {
	if m.dead {
		return
	}
	ctx, cancel := context.WithCancel(m.world.ctx)
	before, ended := m.ended, make(chan struct{})
	m.boots++
	l := &life{machine: m, ctx: ctx, number: m.boots, hung: make(chan struct{})}
	m.cancel, m.ended = cancel, ended
	m.world.wg.Go(func() {
		defer close(ended)
		defer cancel()
		if before != nil {
			<-before
		}
		l.run()
	})
}

// delay is d or up to a fifth longer; a slow machine needs its own time besides.
func (m *machine) delay(d time.Duration) time.Duration {
	if d > 0 {
		m.mu.Lock()
		d += time.Duration(m.rng.Int64N(int64(d)/5 + 1))
		m.mu.Unlock()
	}
	if m.spec.Fault.Kind == Slow {
		d += m.world.spec.Delays.Slow
	}
	return d
}

// strikes tells whether the machine's fault strikes here, and reports it if so.
func (m *machine) strikes(p Point) bool {
	f := m.spec.Fault
	if f.Point != p {
		return false
	}
	m.mu.Lock()
	again := m.struck
	m.struck = true
	if f.Kind == Death {
		m.dead = true
	}
	m.mu.Unlock()
	if again {
		return f.Kind == Error // the other faults strike once
	}
	m.world.say(word{Strike: &Strike{Node: m.spec.Name, At: time.Now()}})
	return true
}

func (m *machine) received() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.system = true
}

// bootable tells whether there is an installed system.
func (m *machine) bootable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.system
}

// open makes a port accept connections until it is closed.
func (m *machine) open(port int) (io.Closer, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(m.spec.Address, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	m.world.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(50 * time.Millisecond) // out of file descriptors, and the like
				continue
			}
			conn.Close()
		}
	})
	return ln, nil
}
