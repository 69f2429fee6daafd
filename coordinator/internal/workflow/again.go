package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kadeploy/coordinator/internal/cluster"
)

// Unfinished is a node that a deployment did not bring to its end.
type Unfinished struct {
	Node    string
	Cluster *cluster.Cluster // as it was then
	// Prepared is when the node began BroadcastEnv, if it got no further than that: what
	// SetDeploymentEnv did to it holds for as long as it has not booted since. BootNewEnv
	// unmounts, so that nothing is left to begin with. Zero: the node needs all.
	Prepared time.Time
}

// UnfinishedNodes tells, from the journal of a deployment that ended, which of its nodes
// did not succeed, and how far they came. An error means that this cannot be told.
func UnfinishedNodes(past Interrupted) ([]Unfinished, error) {
	var all []Unfinished
	for i, part := range past.Request.Clusters {
		some, err := past.unfinished(i, part)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", part.Cluster.Name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

func (w Interrupted) unfinished(index int, part ClusterNodes) ([]Unfinished, error) {
	plan, err := NewPlan(w.Request, part)
	if err != nil {
		return nil, err
	}
	a := NewAutomaton(plan, part.Nodes)
	prepared := make(map[string]time.Time)
	seq := 0
	for _, r := range w.Records {
		if r.Cluster != index {
			continue
		}
		if seq++; r.Seq != seq {
			return nil, fmt.Errorf("its record %d is missing", seq)
		}
		for _, e := range r.Events {
			if e.Kind == Begin && e.Plan != "" && e.Plan != plan.Sum() {
				return nil, fmt.Errorf("it was done by a version of the coordinator that takes other steps")
			}
		}
		if _, err := a.Step(r.At, r.Events...); err != nil {
			return nil, fmt.Errorf("record %d: %w", r.Seq, err)
		}
		for _, n := range a.nodes {
			if n.macro == 1 && prepared[n.name].IsZero() {
				prepared[n.name] = r.At
			}
		}
	}
	var list []Unfinished
	for _, n := range a.nodes {
		if n.phase == over && n.verdict.Success() {
			continue
		}
		left := Unfinished{Node: n.name, Cluster: part.Cluster}
		if n.macro == 1 && n.phase != idle && n.verdict != VerdictRefused {
			left.Prepared = prepared[n.name]
		}
		list = append(list, left)
	}
	return list, nil
}

// Again is a request for the same as r, on some of its nodes: nothing of what was fetched
// or looked up for r is in it, and it does not force anything.
func (r *Request) Again(id, user string, now time.Time, clusters []ClusterNodes) *Request {
	again := *r
	again.ID, again.Resumes, again.User, again.Created = id, r.ID, user, now
	again.Clusters, again.Ready = clusters, nil
	again.Files, again.Fetching, again.Keys, again.OpFiles = Files{}, false, nil, nil
	again.VLANAddrs, again.Expected, again.Doubts = nil, nil, nil
	again.Force = false
	return &again
}

// SameCluster tells whether what was done to a node with one configuration of its cluster
// can be gone on with under another.
func SameCluster(a, b *cluster.Cluster) bool {
	one, err := json.Marshal(a)
	if err != nil {
		return false
	}
	other, err := json.Marshal(b)
	return err == nil && string(one) == string(other)
}

// URIs are all files that the user of a deployment named, each once.
func (r *Request) URIs() []string {
	uris := []string{r.Env.Image.File}
	if r.Env.Preinstall != nil {
		uris = append(uris, r.Env.Preinstall.Archive)
	}
	for _, p := range r.Env.Postinstalls {
		uris = append(uris, p.Archive)
	}
	if r.KeysFrom != "" {
		uris = append(uris, r.KeysFrom)
	}
	uris = append(uris, r.PXEFiles...)
	for _, op := range r.OperationFiles() {
		if !op.Site {
			uris = append(uris, op.File)
		}
	}
	var once []string
	for _, uri := range uris {
		if !slices.Contains(once, uri) {
			once = append(once, uri)
		}
	}
	return once
}
