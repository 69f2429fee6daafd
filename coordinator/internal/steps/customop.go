package steps

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"

	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// customOperation does what a user or the site wants done around a micro-step.
// The agent does it on a node that runs the mini-OS; on any other system it is done
// over ssh, with the same variables and the same results.
type customOperation struct{ nodes }

func (s customOperation) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	s.settle(ctx, t)
	switch t.Op.Action {
	case customops.Exec:
		s.exec(ctx, t, report)
	case customops.Send:
		dir := customops.Expand(t.Op.Destination, s.variables(t))
		s.file(ctx, t, path.Join(dir, t.Op.Base()), 0o644, report)
	case customops.Run:
		s.script(ctx, t, report)
	default:
		reportAll(t.Nodes, fmt.Errorf("operation %s: unknown action %q", t.Op.Name, t.Op.Action), report)
	}
}

// exec runs a command line in the node's shell, where it finds the variables.
func (s customOperation) exec(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	single{limit: untimed, do: func(ctx context.Context, t *workflow.Task, node string) error {
		_, err := s.execute(ctx, t, node, t.Op.Name, t.Op.Command, s.variables(t))
		return err
	}}.Run(ctx, t, report)
}

// file sends the operation's file to all nodes of the set: along one chain to those
// that have an agent, to each of the others over ssh.
func (s customOperation) file(ctx context.Context, t *workflow.Task, to string, mode uint32, report func(node string, err error)) {
	file, ok := t.Request.OpFiles[t.Op.FileKey()]
	if !ok {
		reportAll(t.Nodes, fmt.Errorf("operation %s: its file %s was not fetched", t.Op.Name, t.Op.File), report)
		return
	}
	var foreign []string
	quiet := *t
	quiet.Progress = nil // the display is the image's
	quiet.Nodes = nil
	for _, node := range t.Nodes {
		if s.resident(node) {
			quiet.Nodes = append(quiet.Nodes, node)
		} else {
			foreign = append(foreign, node)
		}
	}
	var rest sync.WaitGroup
	defer rest.Wait()
	rest.Go(func() {
		others := *t
		others.Nodes = foreign
		single{limit: long, do: func(ctx context.Context, t *workflow.Task, node string) error {
			return s.put(ctx, t, node, to, mode, func() (io.ReadCloser, error) { return os.Open(file.Path) })
		}}.Run(ctx, &others, report)
	})
	if len(quiet.Nodes) == 0 {
		return
	}
	s.send(ctx, &quiet, file, &agentv1.ReceiveOpen{
		Name: t.Op.Name, Sink: &agentv1.ReceiveOpen_File{File: &agentv1.FileSink{Path: to, Mode: mode}},
	}, report)
}

// script sends a script and runs it: with its parameters, the variables exported.
func (s customOperation) script(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	at := path.Join(s.TmpDir, "kadeploy-"+word(t.Request.ID)+"-"+word(t.Micro)+"-"+t.Op.Base())
	task := *t
	task.Nodes = s.began(ctx, t, t.Op.Name, report)
	task.Nodes = s.collect(task.Nodes, report, func(report func(string, error)) { s.file(ctx, &task, at, 0o755, report) })
	if len(task.Nodes) == 0 {
		return
	}
	single{limit: untimed, do: func(ctx context.Context, t *workflow.Task, node string) error {
		if !s.resident(node) {
			_, err := s.execute(ctx, t, node, t.Op.Name, "cd "+quote(s.TmpDir)+" && exec "+quote(at)+" "+t.Op.Params, s.variables(t))
			return err
		}
		return s.run(ctx, t, node, t.Op.Name, &agentv1.RunRequest{
			Path: at, Arguments: t.Op.Params, Environment: s.variables(t), Directory: s.TmpDir,
		})
	}}.Run(ctx, &task, report)
}

// word keeps of a text what is harmless in a file's name.
func word(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r) {
			return r
		}
		return '_'
	}, text)
}
