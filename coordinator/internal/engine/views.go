package engine

import (
	"slices"
	"strconv"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// done tells whether the workflow has ended.
func (f *flow) done() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.ended.IsZero()
}

func (f *flow) view() workflow.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := workflow.View{
		ID: f.req.ID, Kind: f.req.Kind, User: f.req.User, Started: f.started, Elapsed: time.Since(f.started),
		Done: !f.ended.IsZero(), Failure: f.failure, Nodes: slices.Clone(f.book.order),
		Logs: len(f.log.lines) > 0, Debug: f.req.Debug,
	}
	if v.Done {
		v.Elapsed = f.ended.Sub(f.started)
	}
	if f.req.Env != nil {
		v.EnvID, v.EnvUser, v.EnvName, v.EnvVer = f.req.EnvID, f.req.EnvOwner, f.req.Env.Name, f.req.Env.Version
	}
	for _, n := range f.book.order {
		switch verdict := f.book.nodes[n].verdict; {
		case verdict == "" && v.Done: // the workflow failed before it came to the node
			v.KO = append(v.KO, n)
		case verdict == "":
			v.Processing = append(v.Processing, n)
		case verdict.Success():
			v.OK = append(v.OK, n)
		default:
			v.KO = append(v.KO, n)
		}
	}
	return v
}

func (f *flow) states() map[string]workflow.NodeState {
	f.mu.Lock()
	defer f.mu.Unlock()
	states := make(map[string]workflow.NodeState, len(f.book.order))
	for name, e := range f.book.nodes {
		s := workflow.NodeState{Macro: e.instance, Micro: e.micro, State: e.state, Error: e.err, Out: e.out}
		if e.verdict == "" && !f.ended.IsZero() {
			s.State = string(workflow.VerdictKO)
			if f.failure != nil {
				s.Error = nodeError("", "", f.failure.Message)
			}
		}
		states[name] = s
	}
	return states
}

func (f *flow) status() workflow.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := make(workflow.Status)
	if !f.ended.IsZero() {
		return status
	}
	now := time.Now()
	for _, name := range f.book.order {
		e := f.book.nodes[name]
		c, ok := status[e.part.cluster.Name]
		if !ok {
			c.Macros = make(map[string]map[string]workflow.MicroStatus)
		}
		switch {
		case e.verdict.Success():
			c.OK = append(c.OK, name)
		case e.verdict != "":
			c.KO = append(c.KO, name)
		}
		for _, p := range e.passed {
			m := c.Macros[p.instance][p.micro]
			if p.failed {
				m.KO = append(m.KO, name)
			} else {
				m.OK = append(m.OK, name)
			}
			put(c.Macros, p.instance, p.micro, m, p.took)
		}
		if e.running {
			m := c.Macros[e.instance][e.micro]
			m.Running = append(m.Running, name)
			put(c.Macros, e.instance, e.micro, m, now.Sub(e.entered))
		}
		status[e.part.cluster.Name] = c
	}
	return status
}

// put stores a micro-step's status; its time is the longest stay of a node.
func put(macros map[string]map[string]workflow.MicroStatus, instance, micro string, m workflow.MicroStatus, took time.Duration) {
	if macros[instance] == nil {
		macros[instance] = make(map[string]workflow.MicroStatus)
	}
	m.Elapsed = max(m.Elapsed, took)
	macros[instance][micro] = m
}

func (f *flow) takeLogs(cluster string) []workflow.Line {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.take(cluster)
}

func (f *flow) takeDebug(node string) []workflow.Line {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.debug.take(node)
}

// output notes what a command printed on a node. f.mu is held.
func (f *flow) output(node, command, stdout, stderr string, status int) {
	stdout, stderr = clip(stdout), clip(stderr)
	if e := f.book.nodes[node]; e != nil {
		if all := e.printing + stdout; all != "" {
			e.out = clip(all)
		}
		e.printing = ""
	}
	if f.req.Debug {
		f.debug.debug(time.Now(), node, command, stdout, stderr, strconv.Itoa(status))
	}
}

// printed notes what a command printed that still runs. f.mu is held.
func (f *flow) printed(node, command, stdout, stderr string) {
	if e := f.book.nodes[node]; e != nil {
		e.printing = clip(e.printing + stdout)
	}
	if f.req.Debug {
		f.debug.debug(time.Now(), node, command, clip(stdout), clip(stderr), "running")
	}
}

func (f *flow) live() workflow.Live {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := workflow.Live{Progress: f.book.progress, Failed: []workflow.LiveNode{}}
	for i, m := range f.book.macros {
		lm := workflow.LiveMacro{Name: m.name, Started: m.started, Running: make(map[string]int)}
		for _, name := range f.book.order {
			e := f.book.nodes[name]
			switch {
			case e.verdict.Success() || e.macro > i:
				lm.Done++
			case e.verdict != "" && e.macro == i:
				lm.Failed++
			case e.verdict != "": // it failed before it came here
			case e.running && e.macro == i:
				lm.Running[e.micro]++
			default:
				lm.Waiting++
			}
		}
		if lm.Waiting == 0 && len(lm.Running) == 0 {
			lm.Ended = m.ended
		}
		l.Macros = append(l.Macros, lm)
	}
	for _, name := range f.book.order {
		if e := f.book.nodes[name]; e.verdict != "" && !e.verdict.Success() {
			l.Failed = append(l.Failed, workflow.LiveNode{Node: name, Error: e.err})
		}
	}
	return l
}

func (f *flow) timeline() []workflow.Span {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.book.spans)
}
