package rehearse

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// life is a machine from a reset to the next.
type life struct {
	machine *machine
	ctx     context.Context // ends with the life
	number  int             // tells one life from the next
	boots   int             // of a mini-OS in this life
	hung    chan struct{}   // closed when it hangs
	once    sync.Once
}

// next is what a machine does when a system has ended.
type next int

const (
	off      next = iota
	firmware      // looks for something to boot
	system        // boots the deployed system, by kexec
)

func (l *life) run() {
	for n := firmware; l.ctx.Err() == nil; {
		switch n {
		case firmware:
			n = l.firmware()
		case system:
			n = l.system()
		default:
			return
		}
	}
}

// firmware asks the coordinator what to boot, and boots it.
func (l *life) firmware() next {
	m := l.machine
	if !l.sleep(m.delay(m.world.spec.Delays.Boot)) || l.faulty(AtBoot) != nil {
		return off
	}
	for l.ctx.Err() == nil {
		script, err := fetchScript(l.ctx, m.world.spec.BootURL, m.address)
		args, mini, local := readScript(script)
		switch {
		case err == nil && mini:
			return l.miniOS(args)
		case err == nil && local:
			if !m.bootable() {
				<-l.ctx.Done() // an empty disk: the firmware waits at its menu
				return off
			}
			return system
		}
		l.sleep(5 * time.Second) // the script says so
	}
	return off
}

// miniOS is up until it boots something else.
func (l *life) miniOS(args bootArguments) next {
	m := l.machine
	ctx, end := context.WithCancel(l.ctx)
	defer end()
	if !l.sleep(m.delay(m.world.spec.Delays.Boot)) {
		return off
	}
	for _, port := range []int{m.world.spec.SSH, m.world.spec.Mark} {
		ln, err := m.open(port)
		if err != nil {
			m.world.complain(m, err)
			return off
		}
		defer ln.Close()
	}
	if l.faulty(AtDial) != nil {
		return off
	}
	l.boots++
	a := &agent{life: l, boot: fmt.Sprintf("%016x-%d-%d", m.seed, l.number, l.boots), left: make(chan next, 1)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for wait := 250 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
			link, err := dial(ctx, args, m.address, m.cert, a.boot, func(c net.Conn) net.Conn {
				return newFreezer(c, l.hung, l.ctx.Done())
			})
			if err == nil {
				link.serve(ctx, a)
			} else if ctx.Err() == nil {
				m.world.complain(m, err)
			}
			l.sleep(wait)
		}
	}()
	defer func() { end(); <-served }()
	select {
	case n := <-a.left:
		return n
	case <-l.ctx.Done():
		return off
	}
}

// system is the deployed system, until the machine is reset.
func (l *life) system() next {
	m := l.machine
	if !l.sleep(m.delay(m.world.spec.Delays.Boot)) || l.faulty(AtSystem) != nil {
		return off
	}
	ln, err := m.open(m.world.spec.SSH)
	if err != nil {
		m.world.complain(m, err)
		return off
	}
	defer ln.Close()
	<-l.ctx.Done()
	return off
}

// faulty lets the machine's fault strike, if it is the turn of this point. A machine
// that dies does not come back from here before its life has ended, nor does one that hangs.
func (l *life) faulty(p Point) error {
	m := l.machine
	if !m.strikes(p) {
		return nil
	}
	switch m.spec.Fault.Kind {
	case Death:
		l.fallSilent() // nobody hears last words
		m.mu.Lock()
		m.stop()
		m.mu.Unlock()
	case Hang:
		l.fallSilent()
	case Error:
		return fmt.Errorf("rehearsed failure at %s", p)
	}
	<-l.ctx.Done()
	return context.Canceled
}

func (l *life) fallSilent() { l.once.Do(func() { close(l.hung) }) }

// sleep tells whether the machine still lives, and does not hang, after d.
func (l *life) sleep(d time.Duration) bool {
	if d <= 0 {
		return l.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}
