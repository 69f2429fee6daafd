// Package broadcast sends one file to many nodes at once: it opens Agent.Receive
// on each of them, makes these calls the control links of a kascade chain, and
// is the head of that chain. What the nodes do with the bytes is the caller's
// choice of sink; which nodes, too.
package broadcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"kadeploy/kascade"
	agentv1 "kadeploy/proto/agent/v1"
)

// farewell is how long a node may take to end its call after its part in the chain is over.
const farewell = 10 * time.Second

// Job is one file for some nodes.
type Job struct {
	Path     string               // local, does not change meanwhile
	Manifest *kascade.Manifest    // of that file
	Open     *agentv1.ReceiveOpen // what each node does with it; Advertise is filled in
	Targets  []Target
	Options  kascade.HeadOptions
}

// Target is one node that receives.
type Target struct {
	Node    string
	Address string // at which the other nodes reach it
	Agent   agentv1.AgentClient
}

// Outcome is how a job ended.
type Outcome struct {
	Nodes   map[string]error // nil: verified, consumed, durable
	Done    map[string]*agentv1.ReceiveDone
	Sent    int64 // bytes that the head sent
	Elapsed time.Duration
	Slow    []kascade.SlowNode // those that held the chain up
}

// Send does a job. The error is of the head itself; nodes' failures are in the Outcome.
func Send(ctx context.Context, job Job, log *slog.Logger) (*Outcome, error) {
	src, err := open(job)
	if err != nil {
		return nil, err
	}
	defer src.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &Outcome{Nodes: make(map[string]error), Done: make(map[string]*agentv1.ReceiveDone)}
	links := dial(ctx, job, out.Nodes)
	peers := make([]kascade.Peer, 0, len(links))
	for _, l := range links {
		peers = append(peers, kascade.Peer{Name: l.target.Node, Host: l.target.Address, Control: l})
	}
	if len(peers) == 0 {
		return out, nil
	}
	options := job.Options
	options.Logger = log
	result, err := kascade.Broadcast(ctx, src, job.Manifest, peers, options)
	if err != nil {
		return nil, fmt.Errorf("broadcast %s: %w", job.Path, err)
	}
	out.Sent, out.Elapsed, out.Slow = result.Sent, result.Elapsed, result.Slow
	conclude(links, result, out)
	return out, nil
}

// source is the file, as kascade reads it.
type source struct {
	*io.SectionReader
	io.Closer
}

// open refuses a file that is not of the manifest's size any more; a change of
// its content is found by the nodes.
func open(job Job) (*source, error) {
	f, err := os.Open(job.Path)
	if err != nil {
		return nil, fmt.Errorf("broadcast: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != job.Manifest.Size {
		err = fmt.Errorf("it has %d bytes and had %d when it was read first: deploy again", info.Size(), job.Manifest.Size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("broadcast %s: %w", job.Path, err), f.Close())
	}
	return &source{io.NewSectionReader(f, 0, info.Size()), f}, nil
}

// dial opens the call of every target, all at once; those that cannot be called are put into failed.
func dial(ctx context.Context, job Job, failed map[string]error) []*link {
	links := make([]*link, len(job.Targets))
	errs := make([]error, len(job.Targets))
	var wg sync.WaitGroup
	for i, t := range job.Targets {
		wg.Go(func() { links[i], errs[i] = newLink(ctx, t, job.Open) })
	}
	wg.Wait()
	open := links[:0]
	for i, l := range links {
		if errs[i] != nil {
			failed[job.Targets[i].Node] = errs[i]
			continue
		}
		open = append(open, l)
	}
	return open
}

// conclude waits for the end of each call: what the node says there is better
// than what the chain saw, and a node that cannot say ok is not ok.
func conclude(links []*link, result *kascade.Result, out *Outcome) {
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	for _, l := range links {
		name := l.target.Node
		chainErr := result.Nodes[name]
		select {
		case <-l.ended:
		case <-limit.C:
			limit.Reset(0) // the others have had their time too
			l.cancel()
			<-l.ended
		}
		switch {
		case chainErr == nil && l.err == nil && l.done != nil:
			out.Nodes[name], out.Done[name] = nil, l.done
		case chainErr == nil && l.err != nil:
			out.Nodes[name] = l.err
		case chainErr == nil:
			out.Nodes[name] = errors.New("the agent ended the transfer without a result")
		default:
			out.Nodes[name] = better(chainErr, l.err)
		}
	}
}

// better is the node's own account of a failure if it gave one, else the chain's.
func better(chain, call error) error {
	if call == nil {
		return chain
	}
	if s, ok := status.FromError(call); ok && !lost(s.Code()) {
		return errors.New(s.Message())
	}
	return chain
}
