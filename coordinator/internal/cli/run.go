package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/ui"
	"kadeploy/coordinator/internal/workflow"
)

// steps of an operation on one server that each command has its own way for.
type asking struct {
	complete func(ctx context.Context, s *session, r *order) error // may be nil
	send     func(ctx context.Context, s *session, body map[string]any, op *client.Operation) error
}

// operate has the nodes' servers do an operation, and follows it to its end.
func (o *operation) operate(ctx context.Context, nodes []string, r *order, ask asking) error {
	all, err := o.sessions(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	if !o.several {
		failed, err := o.run(ctx, all[0], r.of(nodes), nodes, ask)
		return o.finish(ctx, failed, err)
	}
	shares, err := share(ctx, all, nodes)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	failed, status := make([]bool, len(all)), make([]int, len(all))
	for i, s := range all {
		if len(shares[i]) == 0 {
			continue
		}
		running.Go(func() {
			some, err := o.run(ctx, s, r.of(shares[i]), shares[i], ask)
			failed[i] = some
			if err != nil {
				status[i] = s.tell(ctx, err)
			}
		})
	}
	running.Wait()
	some, worst := false, 0
	for i := range all {
		some, worst = some || failed[i], max(worst, status[i])
	}
	if worst != 0 {
		return &exitError{status: worst}
	}
	return o.finish(ctx, some, nil)
}

// share gives each server the nodes that it has: the first one that knows a name gets it.
func share(ctx context.Context, all []*session, nodes []string) ([][]string, error) {
	shares := make([][]string, len(all))
	for i, s := range all {
		known, err := s.Nodes(ctx, s.actor)
		if err != nil {
			return nil, fmt.Errorf("ask %s for its nodes: %w", s.Server().Name, err)
		}
		resolver := nodeset.NewResolver(known)
		var left []string
		for _, node := range nodes {
			if _, err := resolver.Resolve(node); err == nil {
				shares[i] = append(shares[i], node)
			} else {
				left = append(left, node)
			}
		}
		nodes = left
	}
	if len(nodes) > 0 {
		return nil, errNoServer(nodes)
	}
	return shares, nil
}

func fold(nodes []string) string { return nodeset.Fold(nodes) }

// finish is what comes after the operation, wherever it ran.
func (o *operation) finish(ctx context.Context, failed bool, err error) error {
	if err != nil || o.dryRun || !o.wait {
		return err
	}
	if err := o.runScript(ctx); err != nil {
		return err
	}
	if failed && o.failIfAny {
		return &exitError{status: anyFailed}
	}
	return nil
}

// lend makes files of this host available to the server, if any is among the
// URIs. The caller closes what it gets.
func (o *operation) lend(ctx context.Context, s *session, r *order) (*client.Export, error) {
	var paths []string
	for _, uri := range r.uris {
		if path, ok := client.Local(uri); ok {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil, nil
	}
	if !o.wait {
		remedy := "leave --no-wait out, or name a file of the server (server://) or of the web"
		if o.words.kind == deploymentWords.kind {
			remedy += "; for no keys, -k none"
		}
		return nil, fmt.Errorf("%s is on this host, from where the server fetches it while the operation runs: %s", paths[0], remedy)
	}
	export, err := s.Export(ctx, paths, o.secure)
	if err != nil {
		return nil, err
	}
	r.body["client"] = export.Base()
	return export, nil
}

// endLimit is how long the server may take to hear that an operation is cancelled or done with.
const endLimit = 10 * time.Second

// run starts an operation on one server and follows it to its end.
func (o *operation) run(ctx context.Context, s *session, r *order, nodes []string, ask asking) (failed bool, err error) {
	if ask.complete != nil {
		if err := ask.complete(ctx, s, r); err != nil {
			return false, err
		}
	}
	export, err := o.lend(ctx, s, r)
	if err != nil {
		return false, err
	}
	if export != nil {
		defer export.Close() // the operation is over: nobody reads any more
	}
	var op client.Operation
	if err := ask.send(ctx, s, r.body, &op); err != nil {
		return false, err
	}
	if o.dryRun {
		return false, nil
	}
	if err := o.noteID(op.ID); err != nil {
		return false, err
	}
	rep := o.report(s)
	if !o.wait {
		return false, rep.submitted(op)
	}
	return o.follow(ctx, s, op, rep, nodes)
}

// noteID writes the ID of the operation where the user wants it; on several servers, one a line.
func (o *operation) noteID(id string) error {
	if o.widFile == "" {
		return nil
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.several {
		flags, id = os.O_WRONLY|os.O_CREATE|os.O_APPEND, id+"\n"
	}
	f, err := os.OpenFile(o.widFile, flags, 0o644)
	if err == nil {
		_, err = f.WriteString(id)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("ID of the operation: %w", err)
	}
	return nil
}

func (o *operation) follow(ctx context.Context, s *session, op client.Operation, rep report, nodes []string) (failed bool, err error) {
	rep.started(op, nodes)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var enter <-chan struct{}
	if s.app.Enter != nil && !o.json && !o.several {
		enter = s.app.Enter(watching)
	}
	result, err := s.Follow(ctx, op, rep, enter)
	stop()
	// ctx may have ended: the server must hear it all the same.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	if err != nil {
		return false, failedOperation(ctx, last, s, op, rep, err)
	}
	rep.ended(op, result)
	if err := errors.Join(appendNodes(o.okFile, result.OK), appendNodes(o.koFile, result.KO)); err != nil {
		return false, err
	}
	if o.spans {
		spans, err := s.Timeline(last, op)
		if err != nil {
			return false, fmt.Errorf("timeline of %s: %w", op.ID, err)
		}
		rep.timeline(spans, imageSize(last, s.Client, op))
	}
	if err := s.End(last, op); err != nil {
		return false, fmt.Errorf("tell the server that %s is done with: %w", op.ID, err)
	}
	return len(result.KO) > 0, nil
}

// imageSize is how many bytes were broadcast to each node; 0 if none were, or
// if an older server does not tell.
func imageSize(ctx context.Context, c *client.Client, op client.Operation) int64 {
	var live workflow.Live
	if err := c.Get(ctx, op.Resources.Resource+"/live", nil, &live); err != nil || live.Progress == nil {
		return 0
	}
	return live.Progress.Total
}

// failedOperation ends an operation that could not run, or that the user interrupted.
func failedOperation(ctx, last context.Context, s *session, op client.Operation, rep report, err error) error {
	status := client.ExitStatus(err)
	if ctx.Err() != nil {
		err, status = errors.New("SIGINT trapped"), 1
	}
	rep.failed(op, err, status)
	if endErr := s.End(last, op); endErr != nil {
		fmt.Fprintf(s.app.Stderr, "tell the server to stop %s: %v\n", op.ID, endErr)
	}
	return &exitError{status: status}
}

func (o *operation) report(s *session) report {
	app := s.app
	if o.json {
		j := &jsonReport{words: o.words, enc: json.NewEncoder(app.Stdout)}
		if o.several {
			j.server = s.Server().Name
		}
		return j
	}
	rep := &textReport{words: o.words, out: app.Stdout, errs: app.Stderr, debug: app.Debug, now: time.Now}
	rep.live = app.live()
	return rep
}

// live is the live view, nil where there is no terminal to redraw.
func (a *App) live() *ui.Live {
	const narrow = 40        // columns; below, a redrawn view is no help
	term := a.Getenv("TERM") // a program that reads through a pseudo-terminal often sets none
	if a.Terminal == nil || a.Terminal() < narrow || term == "" || term == "dumb" {
		return nil
	}
	return ui.NewLive(a.Stderr, a.Terminal, a.Getenv("NO_COLOR") == "")
}
