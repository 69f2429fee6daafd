// Package power owns the site's commands that reboot machines, switch them on
// and off and tell their status: which command a node gets at which level, the
// window that keeps the whole site from rebooting at once, and the escalation
// from soft to very_hard. It never tells whether a machine came back: that is
// for package probe.
package power

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kadeploy/coordinator/internal/cluster"
)

// Op is what is done to a machine.
type Op string

// The operations, named as in the messages.
const (
	Reboot Op = "reboot"
	On     Op = "power_on"
	Off    Op = "power_off"
	Status Op = "power_status" // has no levels
)

// Outcome is how the operation ended for one node, at the last level tried.
type Outcome struct {
	Level   int    // level reached
	Command string // as it was run; empty if there was none
	Stdout  string
	Stderr  string
	Exit    int   // exit status; -1 if the command did not end by itself
	Err     error // nil: the command succeeded; else what failed, at each level
}

// Config is what a Service is made from. Zero values mean the defaults named.
type Config struct {
	Connector string        // replaces DEFAULT_CONNECTOR in commands
	Window    int           // machines that may be handled at once (50)
	Sleep     time.Duration // between attempts to get into the window (10 s)
	Timeout   time.Duration // of one command (2 min)
	BMC       Controllers   // nil: there is none
	Machines  Machines      // nil: commands are run, and controllers are called; else this is asked instead
	Logger    *slog.Logger
}

// Machines takes the place of the site's commands and controllers where there are no
// real machines: in a rehearsal. What is planned, the window and the escalation stay.
type Machines interface {
	Act(ctx context.Context, op Op, level int, nodes []string) (output string, err error)
}

// Controllers are the management controllers of machines, which do what the site
// has no command for.
type Controllers interface {
	// Has tells whether a driver can do an operation at a level.
	Has(driver string, op Op, level int) bool
	// Control does it by the controller at host; of Status, answer is what the machine is.
	Control(ctx context.Context, b cluster.BMC, host string, op Op, level int) (answer string, err error)
}

const (
	defaultWindow  = 50
	defaultSleep   = 10 * time.Second
	defaultTimeout = 2 * time.Minute
)

// Service runs power commands. One serves the whole coordinator, because its window does.
type Service struct {
	connector string
	timeout   time.Duration
	window    *window
	bmc       Controllers
	machines  Machines
	log       *slog.Logger
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Window <= 0 {
		cfg.Window = defaultWindow
	}
	if cfg.Sleep <= 0 {
		cfg.Sleep = defaultSleep
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{connector: cfg.Connector, timeout: cfg.Timeout, window: newWindow(cfg.Window, cfg.Sleep), bmc: cfg.BMC, machines: cfg.Machines, log: cfg.Logger}
}

// Perform does op for nodes, beginning at level, and calls report exactly once
// for each of them (never two calls at a time). Nodes whose command fails or is
// not provided go on to the next level; watch is told of both. Perform returns when every
// node was reported; it reports the rest as failed when ctx ends.
func (s *Service) Perform(ctx context.Context, c *cluster.Cluster, op Op, level int, nodes []string,
	watch Watch, report func(node string, out Outcome)) {
	p := &performance{service: s, cluster: c, op: op, watch: watch, report: report, trail: map[string][]error{}, last: map[string]Outcome{}}
	last := cluster.Levels - 1
	if op == Status {
		level, last = 0, 0
	}
	remaining := slices.Clone(nodes)
	for ; level <= last && len(remaining) > 0; level++ {
		units := p.plan(level, remaining)
		if with := members(units); len(with) > 0 && watch.Level != nil {
			watch.Level(level, with)
		}
		remaining = p.run(ctx, level, units, remaining)
		if ctx.Err() != nil {
			break
		}
	}
	for _, node := range remaining {
		out := p.last[node]
		out.Err = &failure{node: node, op: op, causes: p.trail[node], stopped: context.Cause(ctx)}
		report(node, out)
	}
}

// Watch is told how an operation goes; what is nil is not told.
type Watch struct {
	Level func(level int, nodes []string) // the nodes that have a command at a level come to it
	Begun func(nodes []string)            // they have got their place in the window: their command runs
}

// performance is one call of Perform.
type performance struct {
	service *Service
	cluster *cluster.Cluster
	op      Op
	watch   Watch

	mu     sync.Mutex // guards the following, and serialises report
	report func(node string, out Outcome)
	trail  map[string][]error // why each level failed, by node
	last   map[string]Outcome
}

// unit is one command line and the nodes that it is for, or one controller of one node.
type unit struct {
	line  string
	host  string // of the controller; empty: line is run
	nodes []string
}

func members(units []unit) []string {
	var nodes []string
	for _, u := range units {
		nodes = append(nodes, u.nodes...)
	}
	return nodes
}

// run executes the units as the window lets them in, reports the nodes that are
// done, and returns the others in their order.
func (p *performance) run(ctx context.Context, level int, units []unit, nodes []string) []string {
	done := map[string]bool{}
	var wg sync.WaitGroup
	for _, u := range units {
		release, err := p.service.window.enter(ctx, len(u.nodes))
		if err != nil {
			break // ctx has ended
		}
		if p.watch.Begun != nil {
			p.watch.Begun(u.nodes)
		}
		wg.Go(func() {
			defer release()
			out := p.perform(ctx, u, level)
			out.Level = level
			p.settle(u, out, done)
		})
	}
	wg.Wait()
	return slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return done[n] })
}

func (p *performance) perform(ctx context.Context, u unit, level int) Outcome {
	switch {
	case p.service.machines != nil:
		return p.service.pretend(ctx, u, p.op, level)
	case u.host == "":
		return p.service.execute(ctx, u.line)
	}
	return p.service.control(ctx, *p.cluster.BMC, u, p.op, level)
}

// settle records a command's result for each of its nodes.
func (p *performance) settle(u unit, out Outcome, done map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, node := range u.nodes {
		p.last[node] = out
		if out.Err != nil {
			p.service.log.Warn("power command failed", "node", node, "command", out.Command, "error", out.Err)
			p.trail[node] = append(p.trail[node], fmt.Errorf("%s: %w", opName(p.op, out.Level), out.Err))
			continue
		}
		done[node] = true
		p.report(node, out)
	}
}

// skip records that a node cannot have a command at a level.
func (p *performance) skip(node string, level int, cause error) {
	p.last[node] = Outcome{Level: level, Exit: -1}
	p.trail[node] = append(p.trail[node], cause)
}

// opName is the operation with its level: soft_reboot, very_hard_power_off.
func opName(op Op, level int) string {
	if op == Status {
		return string(op)
	}
	return cluster.LevelNames[level] + "_" + string(op)
}
