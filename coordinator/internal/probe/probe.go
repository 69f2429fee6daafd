// Package probe owns the question whether a machine that was rebooted is back,
// and as what: the deployment mini-OS accepts connections on the ssh port and on
// the mark port 25300; a user's system accepts them on the ssh port and refuses
// them on the mark port (contract 4.4). It never logs into a machine.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config is what a Prober is made from. Zero values mean the defaults named.
type Config struct {
	SSH      int           // ssh port (22)
	Mark     int           // port that only the mini-OS opens (25300)
	Window   int           // machines probed at once (50)
	Connect  time.Duration // limit of one connection attempt (1 s)
	Interval time.Duration // between two probes of a machine (250 ms)
}

const (
	defaultSSH      = 22
	defaultMark     = 25300
	defaultWindow   = 50
	defaultConnect  = time.Second
	defaultInterval = 250 * time.Millisecond
)

// Prober probes machines. One serves the whole coordinator, because its window does.
type Prober struct {
	cfg    Config
	window chan struct{}

	waiting atomic.Int64 // for a place in the window
}

// New makes a Prober.
func New(cfg Config) *Prober {
	pick := func(v *int, otherwise int) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	pick(&cfg.SSH, defaultSSH)
	pick(&cfg.Mark, defaultMark)
	pick(&cfg.Window, defaultWindow)
	if cfg.Connect <= 0 {
		cfg.Connect = defaultConnect
	}
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	return &Prober{cfg: cfg, window: make(chan struct{}, cfg.Window)}
}

// Window is how many machines may be probed at once, are, and wait for their turn.
func (p *Prober) Window() (size, occupied, waiting int) {
	return cap(p.window), len(p.window), int(p.waiting.Load())
}

// MiniOS waits until the machine runs the deployment mini-OS, or ctx ends. The
// error then says what was seen last.
func (p *Prober) MiniOS(ctx context.Context, address netip.Addr) error {
	return p.wait(ctx, address, "the deployment mini-OS", sight{ssh: accepts, mark: accepts})
}

// UserSystem waits until the machine runs a deployed system, or ctx ends. The
// error then says what was seen last.
func (p *Prober) UserSystem(ctx context.Context, address netip.Addr) error {
	return p.wait(ctx, address, "the deployed system", sight{ssh: accepts, mark: refuses})
}

// state is how a port answers.
type state int

const (
	untried state = iota
	accepts
	refuses
	silent // neither: the machine is off, booting, or filters the port
)

func (s state) String() string {
	return [...]string{"was not tried", "accepts", "refuses", "does not answer"}[s]
}

// sight is what one probe has seen.
type sight struct{ ssh, mark state }

// wait probes until the machine looks as wanted.
func (p *Prober) wait(ctx context.Context, address netip.Addr, what string, want sight) error {
	begin := time.Now()
	ticker := time.NewTicker(p.cfg.Interval)
	defer ticker.Stop()
	var seen sight
	for {
		now, err := p.look(ctx, address)
		if err == nil {
			if seen = now; seen == want {
				return nil
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return p.lost(ctx, what, seen, time.Since(begin))
		}
	}
}

// look probes both ports once, when the window lets it. A probe that ctx has
// cut short is an error: it has seen nothing.
func (p *Prober) look(ctx context.Context, address netip.Addr) (sight, error) {
	p.waiting.Add(1)
	select {
	case p.window <- struct{}{}:
		p.waiting.Add(-1)
		defer func() { <-p.window }()
	case <-ctx.Done():
		p.waiting.Add(-1)
		return sight{}, ctx.Err()
	}
	var s sight
	var wg sync.WaitGroup
	wg.Go(func() { s.ssh = p.try(ctx, address, p.cfg.SSH) })
	wg.Go(func() { s.mark = p.try(ctx, address, p.cfg.Mark) })
	wg.Wait()
	// A dial notices the deadline a moment before ctx does.
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		return s, context.DeadlineExceeded
	}
	return s, ctx.Err()
}

func (p *Prober) try(ctx context.Context, address netip.Addr, port int) state {
	d := net.Dialer{Timeout: p.cfg.Connect}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(address.String(), strconv.Itoa(port)))
	switch {
	case err == nil:
		conn.Close()
		return accepts
	case errors.Is(err, syscall.ECONNREFUSED):
		return refuses
	}
	return silent
}

// lost is the error of a machine that did not come back as it should.
func (p *Prober) lost(ctx context.Context, what string, seen sight, waited time.Duration) error {
	text := fmt.Sprintf("ssh port %d %v, port %d %v", p.cfg.SSH, seen.ssh, p.cfg.Mark, seen.mark)
	switch {
	case seen.ssh == accepts && seen.mark == accepts:
		text += " (the mini-OS is running)"
	case seen.ssh == accepts && seen.mark == refuses:
		text += " (an installed system is running)"
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("%s; not reachable after the reboot as %s within %v", text, what, waited.Round(time.Second))
	}
	return fmt.Errorf("%s; waiting for %s was given up after %v: %w", text, what, waited.Round(time.Second), cause)
}
