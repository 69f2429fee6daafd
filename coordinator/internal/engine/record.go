package engine

import (
	"fmt"
	"slices"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// stage is what one node did in one macro-step.
type stage struct {
	instance       string // that was tried last
	run, runs      int    // the last run of an instance, and how many there were
	started, ended time.Time
}

// enter notes that the node entered a micro-step of the stage.
func (s *stage) enter(run workflow.RunInfo, now time.Time) {
	if s.runs == 0 {
		s.started = now
	}
	if s.runs == 0 || s.run != run.ID {
		s.run = run.ID
		s.runs++
	}
	s.instance, s.ended = run.Instance, now
}

// record is what is kept of the workflow once it is over. A node that was busy
// elsewhere was never operated on, and leaves no row.
func (f *flow) record() *stats.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &stats.Record{}
	if f.refused {
		return r
	}
	for _, name := range f.book.order {
		if e := f.book.nodes[name]; e.verdict != workflow.VerdictRefused {
			r.Rows = append(r.Rows, f.row(name, e))
		}
	}
	r.Micros = f.book.micros()
	return r
}

func (f *flow) row(name string, e *entry) stats.Row {
	row := stats.Row{
		Workflow: f.req.ID, User: f.req.User, Node: name, Cluster: e.part.cluster.Name, Start: f.started,
		Success: e.verdict.Success(), Error: stats.ErrorText(e.err),
	}
	if env := f.req.Env; env != nil {
		row.Env, row.EnvOwner, row.Anonymous = fmt.Sprintf("%s:%d", env.Name, env.Version), f.req.EnvOwner, f.req.EnvID < 0
	}
	switch {
	case row.Success || row.Error != "":
	case e.verdict == workflow.VerdictAborted:
		row.Error = cancelled
	case f.failure != nil:
		row.Error = stats.ErrorText(f.failure.Message)
	}
	for i := range min(len(e.stages), len(row.Steps)) {
		s := e.stages[i]
		if s.runs == 0 {
			continue
		}
		row.Steps[i] = stats.Step{Name: s.instance, Timeout: e.part.timeout(i, s.instance), Retries: s.runs - 1, Duration: s.ended.Sub(s.started)}
	}
	return row
}

// timeout is the time limit of an instance of a macro-step.
func (p *part) timeout(macro int, instance string) time.Duration {
	for _, in := range p.plan.Macros[macro].Instances {
		if in.Name == instance {
			return in.Timeout
		}
	}
	return 0
}

// micros puts together the stays of each cluster's nodes in each micro-step.
func (b *book) micros() []stats.Micro {
	var all []stats.Micro
	for i := range b.spans {
		s := &b.spans[i]
		if s.Ended.IsZero() || s.Error != "" && b.nodes[s.Node].verdict == workflow.VerdictAborted {
			continue // whoever cancels says nothing about the step
		}
		at := slices.IndexFunc(all, func(m stats.Micro) bool {
			return m.Cluster == s.Cluster && m.Macro == s.Macro && m.Instance == s.Instance && m.Name == s.Micro
		})
		if at < 0 {
			at = len(all)
			all = append(all, stats.Micro{Cluster: s.Cluster, Macro: s.Macro, Instance: s.Instance, Name: s.Micro})
		}
		if s.Error != "" {
			all[at].Failed++
		} else {
			all[at].Seconds = append(all[at].Seconds, s.Ended.Sub(s.Started).Seconds())
		}
	}
	return all
}
