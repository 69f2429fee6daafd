package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/workflow"
)

func TestTransfers(t *testing.T) {
	at := time.Unix(1700000000, 0)
	stay := func(cluster, node, micro string, attempt int, from, to time.Duration, failure string) workflow.Span {
		return workflow.Span{
			Node: node, Cluster: cluster, Instance: "BroadcastEnvKascade", Micro: micro, Attempt: attempt,
			Started: at.Add(from), Ended: at.Add(to), Error: failure,
		}
	}
	spans := []workflow.Span{
		stay("b", "n-1.b", "send_environment", 0, 5*time.Second, 9*time.Second, ""),
		stay("a", "n-2.a", "send_environment", 0, time.Second, 3*time.Second, ""),
		stay("a", "n-1.a", "send_environment", 0, 0, 2*time.Second, ""),
		stay("a", "n-3.a", "send_environment", 0, 0, time.Hour, "disk full"),
		stay("a", "n-3.a", "send_environment", 1, 20*time.Second, 24*time.Second, ""),
		stay("a", "n-1.a", "send_key", 0, 3*time.Second, 4*time.Second, ""),
		{Node: "n-9.a", Cluster: "a", Instance: "BroadcastEnvKascade", Micro: "send_environment", Started: at.Add(-time.Hour)},
	}
	want := []transfer{
		{Cluster: "a", Instance: "BroadcastEnvKascade", Nodes: 2, Bytes: 12 << 20, Seconds: 3, Rate: 4 << 20},
		{Cluster: "b", Instance: "BroadcastEnvKascade", Nodes: 1, Bytes: 12 << 20, Seconds: 4, Rate: 3 << 20},
		{Cluster: "a", Instance: "BroadcastEnvKascade", Attempt: 1, Nodes: 1, Bytes: 12 << 20, Seconds: 4, Rate: 3 << 20},
	}
	got := transfersOf(spans, 12<<20)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var out bytes.Buffer
	writeTransfers(&out, got[:2])
	const text = `
Broadcast on cluster a: 12.0 MiB to 2 nodes in 3.0 s, 4.0 MiB/s
Broadcast on cluster b: 12.0 MiB to 1 node in 4.0 s, 3.0 MiB/s
`
	if diff := cmp.Diff(text, out.String()); diff != "" {
		t.Error(diff)
	}
	if got := transfersOf(spans, 0); len(got) != 0 {
		t.Errorf("of unknown size: %v", got)
	}
}
