package broadcast

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/workflow"
	"kadeploy/kascade"
)

// TestPicture: what a display shows is the last byte that every living node has.
func TestPicture(t *testing.T) {
	got := picture(kascade.Progress{
		Size: 100, Rate: 7, Slowest: "n2", Why: "its disk or command",
		Nodes: []kascade.NodeProgress{
			{Name: "n1", State: kascade.Receiving, Received: 60, Consumed: 50},
			{Name: "n2", State: kascade.Receiving, Received: 40, Consumed: 30},
			{Name: "n3", State: kascade.Failed, Received: 10},
		},
	})
	want := workflow.Progress{Total: 100, Done: 40, Rate: 7, Slowest: "n2", Reason: "its disk or command", Nodes: map[string]int64{"n1": 50, "n2": 30, "n3": 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("picture (-want +got):\n%s", diff)
	}
}

func TestSlow(t *testing.T) {
	nodes := []kascade.SlowNode{{Name: "n1", Cause: "its CPU", Side: true}, {Name: "n2", Cause: "its link from n1"}}
	want := []string{"n1 was slow: its CPU; it was fed apart from the others", "n2 was slow: its link from n1; it was dropped"}
	if diff := cmp.Diff(want, slow(nodes, kascade.SlowDrop)); diff != "" {
		t.Errorf("slow (-want +got):\n%s", diff)
	}
	if got := slow(nodes[1:], kascade.SlowWait)[0]; got != "n2 was slow: its link from n1; the others waited for it" {
		t.Errorf("slow = %q", got)
	}
}
