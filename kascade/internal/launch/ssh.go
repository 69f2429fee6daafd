package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kadeploy/kascade"
)

// Defaults of SSH.
const (
	DefaultWindow  = 64
	DefaultConnect = 5 * time.Second
	DefaultPatient = 15 * time.Second
)

// SSH copies the program to each host and starts it there, through the user's own ssh,
// whose standard input and output become the control link. Nothing stays on a host: the
// copy removes itself when it starts.
type SSH struct {
	Command []string      // nil: ssh
	Params  []string      // further options of it, before the host
	Program string        // the program to copy; empty: this one
	Dir     string        // where hosts put it; empty: the first of some that can execute files
	Window  int           // logins at once, and as many again that stand still; 0: DefaultWindow
	Connect time.Duration // to reach a host, as ssh's ConnectTimeout; 0: DefaultConnect
	Patient time.Duration // how long a launch may make no progress; 0: DefaultPatient
	// Said is called with each line that ssh and what it runs print on the standard error
	// of a node; it may be nil, and is called from several goroutines.
	Said func(node, line string)
	// Progress is called with the numbers of nodes that are up and that failed, whenever
	// they change; it may be nil, and is called from one goroutine at a time.
	Progress func(up, failed int)

	procs sync.WaitGroup // ssh processes
}

// Launch logs in on all hosts.
func (s *SSH) Launch(ctx context.Context, nodes []Node) ([]kascade.Peer, map[string]error) {
	failed := map[string]error{}
	program, err := s.packed()
	if err != nil {
		for _, n := range nodes {
			failed[n.Name] = err
		}
		return nil, failed
	}
	var mu sync.Mutex
	var arrivals []arrival
	var wg sync.WaitGroup
	slots := newSlots(cmp.Or(s.Window, DefaultWindow))
	for _, n := range nodes {
		free := slots.take(ctx)
		if free == nil {
			mu.Lock()
			failed[n.Name] = context.Cause(ctx)
			mu.Unlock()
			continue
		}
		wg.Go(func() {
			defer free()
			a, err := s.one(ctx, n, program)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[n.Name] = err
			} else {
				arrivals = append(arrivals, a)
			}
			if s.Progress != nil {
				s.Progress(len(arrivals), len(failed))
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		for _, a := range arrivals {
			a.held.drop()
			failed[a.node.Name] = context.Cause(ctx)
		}
		return nil, failed
	}
	return begin(arrivals, failed), failed
}

func (s *SSH) packed() ([]byte, error) {
	path := s.Program
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find the program that is copied to the nodes: %w", err)
		}
	}
	return pack(path)
}

// one brings up one node.
func (s *SSH) one(ctx context.Context, n Node, program []byte) (a arrival, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, err := s.start(n.Name, len(program))
	if err != nil {
		return a, err
	}
	stop := context.AfterFunc(ctx, p.kill)
	defer func() {
		if !stop() {
			err = context.Cause(ctx)
		}
		if err != nil {
			p.kill()
			<-p.exited
		}
	}()
	patience := cmp.Or(s.Patient, DefaultPatient)
	watch := time.AfterFunc(patience, func() {
		cancel(fmt.Errorf("no progress of the launch for %v%s", patience, p.said.quote()))
	})
	defer watch.Stop()
	sent := make(chan error, 1)
	go func() { sent <- feed(p.in, program, func() { watch.Reset(patience) }) }()
	host, err := readHello(byteReader{p.out})
	if err != nil {
		// How ssh ended says more than that nothing came.
		select {
		case <-p.exited:
		case <-time.After(endWait):
		}
		p.kill()
		<-sent
		<-p.exited
		return a, p.failure()
	}
	if err := <-sent; err != nil {
		return a, fmt.Errorf("copy the program: %w", err)
	}
	return arrival{node: n, host: cmp.Or(host, hostOf(n.Name)), held: hold(p)}, nil
}

// feed sends the program in pieces, each of which is progress.
func feed(w interface{ Write([]byte) (int, error) }, b []byte, progress func()) error {
	for len(b) > 0 {
		n, err := w.Write(b[:min(len(b), 64<<10)])
		if err != nil {
			return err
		}
		b = b[n:]
		progress()
	}
	return nil
}

// hostOf is the host of what a user gives to ssh: user@host.
func hostOf(name string) string { return name[strings.LastIndexByte(name, '@')+1:] }

// arguments are ssh's. The first value of an option counts, so the user's stand first.
func (s *SSH) arguments(host string, size int) []string {
	words := append([]string(nil), s.Command...)
	if len(words) == 0 {
		words = []string{"ssh"}
	}
	known := false
	for _, w := range words {
		known = known || strings.Contains(filepath.Base(w), "ssh")
	}
	words = append(words, s.Params...)
	if known {
		connect := int(cmp.Or(s.Connect, DefaultConnect).Round(time.Second).Seconds())
		words = append(words, "-T", "-x", "-a", "-o", "BatchMode=yes", "-o", fmt.Sprintf("ConnectTimeout=%d", max(1, connect)),
			"-o", "ConnectionAttempts=1", "-o", "ControlMaster=no", "-o", "LogLevel=ERROR")
	}
	return append(words, host, script(size, s.Dir))
}

// Close waits for the ssh processes; those that do not end are killed by then.
func (s *SSH) Close() error {
	done := make(chan struct{})
	go func() { s.procs.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(2*killAfter + time.Second):
		return errors.New("some ssh processes did not end")
	}
}

// Address is where the host at the other end of the ssh session that this process is in
// was reached by it, or empty (ssh(1), SSH_CONNECTION).
func Address() string {
	fields := strings.Fields(os.Getenv("SSH_CONNECTION"))
	if len(fields) != 4 || strings.Contains(fields[2], "%") { // a zone means something to its host only
		return ""
	}
	return fields[2]
}
