package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is a relay or the head, as seen from the benchmark.
type process struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	events chan event // closed at its end
	errs   bytes.Buffer
	waited chan struct{}
	err    error // of Wait; after waited
}

// launch starts a process at a place, with env added to the environment, and gives it its first order.
func (b *Bench) launch(net network, place int, name, role string, env []string, first order, files ...*os.File) (*process, error) {
	args := append(append([]string{}, b.Command[1:]...), role)
	p := &process{name: name, cmd: exec.Command(b.Command[0], args...), events: make(chan event, 16), waited: make(chan struct{})}
	p.cmd.ExtraFiles = files
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.errs
	if b.Verbose {
		p.cmd.Stderr = os.Stderr
	}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := net.start(place, p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.listen(out)
	return p, p.tell(first)
}

// listen passes on what the process says, until its end.
func (p *process) listen(out io.Reader) {
	defer close(p.waited)
	for d := json.NewDecoder(out); ; {
		var e event
		if err := d.Decode(&e); err != nil {
			break
		}
		p.events <- e
	}
	io.Copy(io.Discard, out)
	p.err = p.cmd.Wait()
	close(p.events)
}

func (p *process) tell(o order) error {
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, p.said())
	}
	return nil
}

// hear waits for the next event.
func (p *process) hear(ctx context.Context) (event, error) {
	select {
	case e, ok := <-p.events:
		if !ok {
			return e, fmt.Errorf("%s ended too early: %w%s", p.name, errors.Join(p.err), p.said())
		}
		return e, nil
	case <-ctx.Done():
		return event{}, fmt.Errorf("%s: %w", p.name, context.Cause(ctx))
	}
}

// said is what the process wrote on its standard error.
func (p *process) said() string {
	select {
	case <-p.waited:
	case <-time.After(100 * time.Millisecond):
		return ""
	}
	if s := strings.TrimSpace(p.errs.String()); s != "" {
		return "; it printed: " + s
	}
	return ""
}

// kill ends the process at once.
func (p *process) kill() { p.cmd.Process.Kill() }

// end closes its standard input, waits until it is gone, and gives the CPU time that it took.
func (p *process) end() time.Duration {
	p.in.Close()
	timer := time.AfterFunc(endWithin, p.kill)
	defer timer.Stop()
	go func() {
		for range p.events { // nobody listens any more
		}
	}()
	<-p.waited
	return cpuTime(p.cmd)
}

// endWithin is how long a process may take to end.
const endWithin = 5 * time.Second

// cpuTime is user and system time of a command that has ended.
func cpuTime(cmd *exec.Cmd) time.Duration {
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return 0
}
