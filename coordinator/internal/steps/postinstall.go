package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// postinstalls sends each of the description's postinstall archives to all nodes
// and runs its script there, one archive after the other.
type postinstalls struct{ nodes }

func (s postinstalls) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	task := *t
	for i, archive := range t.Request.Env.Postinstalls {
		alive, err := s.one(ctx, &task, i, archive, report)
		if err != nil {
			reportAll(task.Nodes, err, report)
			return
		}
		task.Nodes = alive
	}
	reportAll(task.Nodes, nil, report)
}

// one does postinstall i on the nodes of t, reports those that failed and returns the others.
func (s postinstalls) one(ctx context.Context, t *workflow.Task, i int, archive env.Archive, report func(node string, err error)) ([]string, error) {
	if i >= len(t.Request.Files.Postinstalls) {
		return nil, errors.New("the archive of the postinstall was not fetched")
	}
	name := fmt.Sprintf("postinstall %d", i+1)
	open := &agentv1.ReceiveOpen{Name: name, Sink: &agentv1.ReceiveOpen_Tar{
		Tar: &agentv1.TarSink{Root: s.ArchiveDir, Compression: archive.Compression, Clean: i == 0},
	}}
	quiet := *t
	quiet.Progress = nil // small; the display is the image's
	got := s.collect(quiet.Nodes, report, func(report func(string, error)) {
		s.send(ctx, &quiet, t.Request.Files.Postinstalls[i], open, report)
	})
	program, arguments, _ := strings.Cut(strings.TrimSpace(archive.Script), " ")
	if program == "" || program == "none" || len(got) == 0 {
		return got, nil
	}
	quiet.Nodes = got
	return s.collect(got, report, func(report func(string, error)) {
		single{limit: long, do: func(ctx context.Context, t *workflow.Task, node string) error {
			return s.run(ctx, t, node, name+" ("+program+")", &agentv1.RunRequest{
				Path: path.Join(s.ArchiveDir, program), Arguments: arguments, Directory: s.ArchiveDir, Environment: s.variables(t),
			})
		}}.Run(ctx, &quiet, report)
	}), nil
}
