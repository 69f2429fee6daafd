package probe

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddr("127.0.0.1")

// port is a TCP port of the loopback that a test opens and closes as a booting machine does.
type port struct {
	number   int
	accepted atomic.Int32
	mu       sync.Mutex
	l        net.Listener
}

func newPort(t *testing.T, opened bool) *port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &port{number: l.Addr().(*net.TCPAddr).Port}
	l.Close()
	if opened {
		p.open(t)
	}
	t.Cleanup(p.close)
	return p
}

func (p *port) open(t *testing.T) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)))
	if err != nil {
		t.Error(err)
		return
	}
	p.mu.Lock()
	p.l = l
	p.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			c.Close()
		}
	}()
}

func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != nil {
		p.l.Close()
	}
}

func TestWhatIsSeen(t *testing.T) {
	for _, tc := range []struct {
		name      string
		ssh, mark bool
		wait      func(*Prober, context.Context, netip.Addr) error
		want      string // part of the error; empty: success
	}{
		{"mini-OS is there", true, true, (*Prober).MiniOS, ""},
		{"user's system is there", true, false, (*Prober).UserSystem, ""},
		{"user's system instead of mini-OS", true, false, (*Prober).MiniOS, "refuses (an installed system is running); not reachable after the reboot as the deployment mini-OS within "},
		{"mini-OS instead of user's system", true, true, (*Prober).UserSystem, "accepts (the mini-OS is running); not reachable after the reboot as the deployed system within "},
		{"ssh is not up yet", false, true, (*Prober).MiniOS, " refuses, port "},
		{"nothing is up", false, false, (*Prober).UserSystem, " refuses, port "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ssh, mark := newPort(t, tc.ssh), newPort(t, tc.mark)
			p := New(Config{SSH: ssh.number, Mark: mark.number, Interval: 5 * time.Millisecond})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := tc.wait(p, ctx, loopback)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("error %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v, want one with %q", err, tc.want)
			case tc.want != "" && !strings.Contains(err.Error(), "ssh port "+strconv.Itoa(ssh.number)+" "):
				t.Errorf("error %v does not name the ssh port", err)
			}
		})
	}
}

// TestBootIsFollowed: the machine goes from nothing over the mini-OS to its system.
func TestBootIsFollowed(t *testing.T) {
	ssh, mark := newPort(t, false), newPort(t, false)
	p := New(Config{SSH: ssh.number, Mark: mark.number, Interval: 5 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	up := make(chan error, 1)
	go func() { up <- p.MiniOS(ctx, loopback) }()
	ssh.open(t)
	for ssh.accepted.Load() == 0 { // it has seen ssh alone
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-up:
		t.Fatalf("MiniOS returned %v before the mark port was open", err)
	default:
	}
	mark.open(t)
	if err := <-up; err != nil {
		t.Fatal(err)
	}
	go func() { up <- p.UserSystem(ctx, loopback) }()
	before := mark.accepted.Load()
	for mark.accepted.Load() == before {
		time.Sleep(time.Millisecond)
	}
	mark.close()
	if err := <-up; err != nil {
		t.Fatal(err)
	}
}

func TestGivenUp(t *testing.T) {
	ssh, mark := newPort(t, true), newPort(t, true)
	p := New(Config{SSH: ssh.number, Mark: mark.number, Window: 1, Interval: time.Hour})
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- p.UserSystem(ctx, loopback) }()
	for mark.accepted.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel(context.Canceled)
	if err := <-result; err == nil || !strings.Contains(err.Error(), "waiting for the deployed system was given up after 0s: context canceled") {
		t.Errorf("error %v", err)
	}
	p.window <- struct{}{} // full: the next one never gets to probe
	if err := p.UserSystem(ctx, loopback); err == nil || !strings.Contains(err.Error(), "was not tried") {
		t.Errorf("error %v", err)
	}
}
