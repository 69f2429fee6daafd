package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// sendEnvironment sends the image to all nodes at once; each consumes it as it arrives.
type sendEnvironment struct{ nodes }

func (s sendEnvironment) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	switch t.Argument {
	case workflow.ByCustom:
		reportAll(t.Nodes, s.byTheSite(ctx, t), report)
		return
	case workflow.ByKascade, "":
	default:
		t.Note(3, fmt.Sprintf("%s: the image is sent along a chain, as with BroadcastEnvKascade", t.Instance))
	}
	file, open, err := s.image(ctx, t)
	if err != nil {
		reportAll(t.Nodes, err, report)
		return
	}
	delivery := s.send(ctx, t, file, open, report)
	if delivery != nil {
		seconds := delivery.Elapsed.Seconds()
		t.Note(3, fmt.Sprintf("Broadcast time: %.0fs", seconds))
		for _, note := range delivery.Slow {
			t.Note(3, note)
		}
		t.Note(4, fmt.Sprintf("Broadcast rate: %.1f MiB/s to each node; the coordinator sent %d bytes", rate(file.Size, seconds), delivery.Sent))
	}
}

// image is what is sent, and what a node does with it: the image in a prepared
// form if there is one, or else as it is.
func (s sendEnvironment) image(ctx context.Context, t *workflow.Task) (workflow.File, *agentv1.ReceiveOpen, error) {
	if file, open, ok := s.prepared(ctx, t); ok {
		return file, open, nil
	}
	open, err := s.sink(t)
	return t.Request.Files.Image, open, err
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
		// A second attempt finds what the first one left. If somebody else has mounted
		// file systems there, they may hold data: then it is overwritten only.
		left := (isRetry(t) || t.Again) && t.Request.Env.Preinstall == nil && !operated(t.Request, t.Cluster)
		open.Sink = &agentv1.ReceiveOpen_Tar{Tar: &agentv1.TarSink{Root: s.ExtractionDir, Compression: image.Compression, Clean: left}}
	case "dd":
		open.Sink = &agentv1.ReceiveOpen_Raw{Raw: &agentv1.RawSink{Target: deployTarget(t), Compression: image.Compression, FileBytes: uint64(t.Request.Files.Image.Size)}}
	case "fsa":
		open.Sink = &agentv1.ReceiveOpen_Fsa{Fsa: fsaSink(t)}
	default:
		return nil, fmt.Errorf("images of kind %q are not known: tar, dd and fsa are", image.Kind)
	}
	return open, nil
}

// fsaSink says which file system of the archive goes where: as the description of
// a multipart image lists them; else one onto the partition that is deployed on.
func fsaSink(t *workflow.Task) *agentv1.FsaSink {
	sink := &agentv1.FsaSink{FileBytes: uint64(t.Request.Files.Image.Size)}
	if tmp, ok := numbered(t, t.Cluster.Partitioning.Tmp); ok {
		sink.Scratch = tmp
	}
	parts := t.Request.Env.Options.Partitions
	if !t.Request.Env.Multipart {
		one := &agentv1.FsaPart{Target: deployTarget(t)}
		if len(parts) > 0 {
			one.Id = uint32(max(parts[0].ID, 0)) // its device is not asked for: rights are on the one deployed on
		}
		sink.Parts = []*agentv1.FsaPart{one}
		return sink
	}
	for _, p := range parts {
		sink.Parts = append(sink.Parts, &agentv1.FsaPart{Id: uint32(max(p.ID, 0)), Target: namedTarget(p.Device)})
	}
	return sink
}

// send broadcasts a file and reports every node.
func (n nodes) send(ctx context.Context, t *workflow.Task, file workflow.File, open *agentv1.ReceiveOpen, report func(node string, err error)) *Delivery {
	if file.Path == "" {
		reportAll(t.Nodes, errors.New("the coordinator was restarted, and its copy of the file is gone from the cache: deploy again"), report)
		return nil
	}
	if t.ID != "" { // what was cut off is gone on with only if it is the same file
		open.TransferId = t.ID + "/" + file.Hash[:min(len(file.Hash), 32)]
	}
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
