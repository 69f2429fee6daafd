package engine

import (
	"context"
	"slices"
	"time"
)

// claim gives the workflow's nodes a state in the store, all but those that are busy
// elsewhere, which are returned. A workflow that is under way keeps its nodes for as long
// as it takes, while its user has rights on them; else the age of the state counts.
func (f *flow) claim(ctx context.Context, state string) (busy []string, err error) {
	since := time.Now().Add(-f.engine.cfg.BusyFor)
	if f.req.Force {
		since = time.Now().Add(time.Hour) // nothing is that young
	} else {
		busy = f.engine.underWay(ctx, f)
	}
	free := slices.DeleteFunc(f.nodes(), func(n string) bool { return slices.Contains(busy, n) })
	if len(free) == 0 {
		return busy, nil
	}
	more, err := f.engine.cfg.States.Claim(ctx, free, f.update(state), since)
	return append(busy, more...), err
}

// underWay lists those nodes of a workflow that another one has claimed and not judged,
// and whose user still has rights on them: nobody blocks a node beyond his time on it.
func (e *Engine) underWay(ctx context.Context, f *flow) (list []string) {
	e.mu.Lock()
	others := e.sorted("")
	e.mu.Unlock()
	mine := f.nodes()
	for _, o := range others {
		if held := o.held(mine); o != f && len(held) > 0 {
			list = append(list, o.entitled(ctx, held)...)
		}
	}
	return list
}

// held lists those of the nodes that the workflow has claimed and not judged.
func (f *flow) held(nodes []string) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.holds || !f.ended.IsZero() {
		return nil
	}
	for _, n := range nodes {
		if e := f.book.nodes[n]; e != nil && e.verdict == "" {
			list = append(list, n)
		}
	}
	return list
}

// entitled lists those of the nodes on which the workflow's user has rights.
func (f *flow) entitled(ctx context.Context, nodes []string) []string {
	if f.engine.cfg.Refused == nil {
		return nodes
	}
	lost, err := f.engine.cfg.Refused(ctx, f.req.User, nodes)
	if err != nil {
		f.logger.Error("whether the user still has rights on nodes cannot be told; they are taken for busy", "nodes", nodes, "error", err)
		return nodes
	}
	return slices.DeleteFunc(nodes, func(n string) bool { return slices.Contains(lost, n) })
}
