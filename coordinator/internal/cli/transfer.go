package cli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"kadeploy/coordinator/internal/ui"
	"kadeploy/coordinator/internal/workflow"
)

// broadcastStep is the micro-step in which the image goes from node to node.
const broadcastStep = "send_environment"

// transfer is one broadcast of the image to the nodes of one cluster.
type transfer struct {
	Cluster  string  `json:"cluster"`
	Instance string  `json:"instance"`
	Attempt  int     `json:"attempt"`
	Nodes    int     `json:"nodes"` // that have the whole image
	Bytes    int64   `json:"bytes"` // to each node
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"rate"` // bytes per second, at each node
}

// transfersOf finds the broadcasts in a timeline, in the order of their start. A
// broadcast takes from the first node that enters it until the last one has the
// image; nodes that failed do not count.
func transfersOf(spans []workflow.Span, size int64) []transfer {
	type key struct {
		cluster, instance string
		attempt           int
	}
	type stay struct {
		nodes      int
		begin, end time.Time
	}
	stays := make(map[key]*stay)
	var order []key
	for _, s := range spans {
		if s.Micro != broadcastStep || s.Ended.IsZero() || s.Error != "" {
			continue
		}
		k := key{s.Cluster, s.Instance, s.Attempt}
		st := stays[k]
		if st == nil {
			st = &stay{begin: s.Started}
			stays[k] = st
			order = append(order, k)
		}
		st.nodes++
		if s.Started.Before(st.begin) {
			st.begin = s.Started
		}
		if s.Ended.After(st.end) {
			st.end = s.Ended
		}
	}
	slices.SortStableFunc(order, func(a, b key) int { return stays[a].begin.Compare(stays[b].begin) })
	var all []transfer
	for _, k := range order {
		st := stays[k]
		x := transfer{
			Cluster: k.cluster, Instance: k.instance, Attempt: k.attempt,
			Nodes: st.nodes, Bytes: size, Seconds: st.end.Sub(st.begin).Seconds(),
		}
		if size > 0 && x.Seconds > 0 {
			x.Rate = float64(size) / x.Seconds
			all = append(all, x)
		}
	}
	return all
}

// writeTransfers prints the rate of each broadcast.
func writeTransfers(w io.Writer, all []transfer) {
	for i, x := range all {
		if i == 0 {
			fmt.Fprintln(w)
		}
		nodes := "nodes"
		if x.Nodes == 1 {
			nodes = "node"
		}
		fmt.Fprintf(w, "Broadcast on cluster %s: %s to %d %s in %.1f s, %s/s\n",
			x.Cluster, ui.Bytes(float64(x.Bytes)), x.Nodes, nodes, x.Seconds, ui.Bytes(x.Rate))
	}
}
