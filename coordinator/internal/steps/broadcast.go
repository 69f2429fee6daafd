package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// sendEnvironment sends the image to all nodes at once; each consumes it as it arrives.
type sendEnvironment struct{ nodes }

func (s sendEnvironment) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	open, err := s.sink(t)
	if err != nil {
		reportAll(t.Nodes, err, report)
		return
	}
	delivery := s.send(ctx, t, t.Request.Files.Image, open, report)
	if delivery != nil {
		seconds := delivery.Elapsed.Seconds()
		t.Note(3, fmt.Sprintf("Broadcast time: %.0fs", seconds))
		for _, note := range delivery.Slow {
			t.Note(3, note)
		}
		t.Note(4, fmt.Sprintf("Broadcast rate: %.1f MiB/s to each node; the coordinator sent %d bytes", rate(t.Request.Files.Image.Size, seconds), delivery.Sent))
	}
}

// rate is in MiB per second.
func rate(size int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(size) / (1 << 20) / seconds
}

// sink is what a node does with an image of the description's kind.
func (s sendEnvironment) sink(t *workflow.Task) (*agentv1.ReceiveOpen, error) {
	image := t.Request.Env.Image
	open := &agentv1.ReceiveOpen{Name: "image"}
	switch image.Kind {
	case "tar":
		// A second attempt finds what the first one left.
		open.Sink = &agentv1.ReceiveOpen_Tar{Tar: &agentv1.TarSink{Root: s.ExtractionDir, Compression: image.Compression, Clean: t.Attempt > 0}}
	case "dd":
		open.Sink = &agentv1.ReceiveOpen_Raw{Raw: &agentv1.RawSink{Target: deployTarget(t), Compression: image.Compression}}
	default:
		return nil, fmt.Errorf("images of kind %s cannot be deployed by this version: make a tar or a dd image of it", image.Kind)
	}
	return open, nil
}

// send broadcasts a file and reports every node.
func (n nodes) send(ctx context.Context, t *workflow.Task, file workflow.File, open *agentv1.ReceiveOpen, report func(node string, err error)) *Delivery {
	transfer := Transfer{File: file, Open: open, Nodes: n.receivers(ctx, t, report), Progress: t.Progress}
	if len(transfer.Nodes) == 0 {
		return nil
	}
	delivery, err := n.Broadcaster.Broadcast(ctx, transfer)
	for _, r := range transfer.Nodes {
		switch {
		case err != nil:
			report(r.Node, err)
		default:
			report(r.Node, plain(delivery.Nodes[r.Node]))
		}
	}
	return delivery
}

// receivers are the nodes whose agents can be called; the others are reported.
func (n nodes) receivers(ctx context.Context, t *workflow.Task, report func(node string, err error)) []Receiver {
	found := make([]Receiver, len(t.Nodes))
	alive := n.collect(t.Nodes, report, func(report func(string, error)) {
		var wg sync.WaitGroup
		for i, node := range t.Nodes {
			wg.Go(func() {
				agent, err := n.session(ctx, node)
				if err != nil {
					report(node, err)
					return
				}
				address, err := address(t, node)
				found[i] = Receiver{Node: node, Address: address, Agent: agent}
				report(node, err)
			})
		}
		wg.Wait()
	})
	return slices.DeleteFunc(found, func(r Receiver) bool { return !slices.Contains(alive, r.Node) })
}

func reportAll(nodes []string, err error, report func(node string, err error)) {
	for _, node := range nodes {
		report(node, err)
	}
}

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
