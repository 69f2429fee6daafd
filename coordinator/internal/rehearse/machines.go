package rehearse

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// Machines are the processes that are machines, as the coordinator's side sees them.
type Machines struct {
	of  map[string]*process // by machine
	all []*process

	mu     sync.Mutex
	struck map[string]time.Time
}

// process is one of them.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	ready chan struct{}
	ended chan struct{} // closed when its output has ended
	err   error         // then: why

	mu      sync.Mutex
	next    int
	waiting map[int]chan word
}

// Start starts a process for each spec; command makes one that calls Serve on its
// standard input and output.
func Start(ctx context.Context, specs []Spec, command func() *exec.Cmd) (*Machines, error) {
	m := &Machines{of: make(map[string]*process), struck: make(map[string]time.Time)}
	for _, s := range specs {
		p, err := m.start(command(), s)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start the machines: %w", err), m.Close())
		}
		m.all = append(m.all, p)
		for _, one := range s.Machines {
			m.of[one.Name] = p
		}
	}
	for _, p := range m.all {
		select {
		case <-p.ready:
		case <-p.ended:
			return nil, errors.Join(fmt.Errorf("start the machines: %w", p.err), m.Close())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), m.Close())
		}
	}
	return m, nil
}

func (m *Machines) start(cmd *exec.Cmd, s Spec) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, in: in, ready: make(chan struct{}), ended: make(chan struct{}), waiting: make(map[int]chan word)}
	go m.listen(p, out)
	return p, json.NewEncoder(in).Encode(s)
}

// listen takes what a process says until it ends.
func (m *Machines) listen(p *process, out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var w word
		if err == nil {
			err = json.Unmarshal(line, &w)
		}
		if err != nil {
			p.err = errors.Join(errors.New("the process that is the machines has ended"), p.cmd.Wait())
			close(p.ended)
			return
		}
		switch {
		case w.Ready:
			close(p.ready)
		case w.Strike != nil:
			m.mu.Lock()
			m.struck[w.Strike.Node] = w.Strike.At
			m.mu.Unlock()
		default:
			p.mu.Lock()
			answer := p.waiting[w.ID]
			delete(p.waiting, w.ID)
			p.mu.Unlock()
			if answer != nil {
				answer <- w
			}
		}
	}
}

// Act has machines rebooted, switched or asked: what a site's command would do.
func (m *Machines) Act(ctx context.Context, op string, nodes []string) (output string, err error) {
	by := make(map[*process][]string)
	for _, n := range nodes {
		p := m.of[n]
		if p == nil {
			return "", fmt.Errorf("there is no machine %s", n)
		}
		by[p] = append(by[p], n)
	}
	for p, names := range by {
		answer, one := p.act(ctx, op, names)
		output, err = output+answer, errors.Join(err, one)
	}
	return output, err
}

func (p *process) act(ctx context.Context, op string, nodes []string) (string, error) {
	answer := make(chan word, 1)
	p.mu.Lock()
	p.next++
	id := p.next
	p.waiting[id] = answer
	err := json.NewEncoder(p.in).Encode(order{ID: id, Op: op, Nodes: nodes})
	p.mu.Unlock()
	if err != nil {
		return "", err
	}
	select {
	case w := <-answer:
		if w.Error != "" {
			return w.Answer, errors.New(w.Error)
		}
		return w.Answer, nil
	case <-p.ended:
		return "", p.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// Strikes are the faults that have struck so far: when, by machine.
func (m *Machines) Strikes() map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]time.Time, len(m.struck))
	for name, at := range m.struck {
		all[name] = at
	}
	return all
}

// closeTime is how long machines may take to end.
const closeTime = 10 * time.Second

// Close ends the machines.
func (m *Machines) Close() error {
	var errs []error
	for _, p := range m.all {
		errs = append(errs, p.in.Close())
	}
	for _, p := range m.all {
		select {
		case <-p.ended:
		case <-time.After(closeTime):
			errs = append(errs, p.cmd.Process.Kill())
			<-p.ended
		}
	}
	return errors.Join(errs...)
}
