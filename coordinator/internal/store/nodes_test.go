package store

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/workflow"
)

func TestNodeStates(t *testing.T) {
	s := open(t)
	e := add(t, s.Registry(nil), alice, description("deb", 1, "private"))
	t0 := time.Unix(1_700_000_000, 0)
	limit := 15 * time.Minute
	claimer, settler := "D-1", "D-1"
	claim := func(at time.Time, nodes ...string) []string {
		t.Helper()
		busy, err := s.Claim(t.Context(), nodes, workflow.NodeUpdate{Workflow: claimer, State: "deploying", User: "alice", At: at}, at.Add(-limit))
		if err != nil {
			t.Fatal(err)
		}
		return busy
	}
	settle := func(at time.Time, state string, ref *workflow.EnvRef, nodes ...string) {
		t.Helper()
		if err := s.Settle(t.Context(), nodes, workflow.NodeUpdate{Workflow: settler, State: state, User: "alice", At: at, Env: ref}); err != nil {
			t.Fatal(err)
		}
	}
	state := func(node string) string {
		t.Helper()
		infos, err := s.Nodes(t.Context(), []string{node})
		if err != nil {
			t.Fatal(err)
		}
		i := infos[node]
		name := "none"
		if i.Env != nil {
			name = i.Env.Name
		}
		return fmt.Sprintf("%s %s %s %d", i.State, i.User, name, i.Since.Sub(t0)/time.Second)
	}
	want := func(node, expected string) {
		t.Helper()
		if got := state(node); got != expected {
			t.Errorf("%s: %s, want %s", node, got, expected)
		}
	}

	if busy := claim(t0, "n1", "n2"); busy != nil {
		t.Errorf("first claim: busy %v", busy)
	}
	want("n1", "deploying alice none 0")
	if busy := claim(t0, "n1", "n2"); busy != nil {
		t.Errorf("claim again by the same workflow, whose coordinator died: busy %v", busy)
	}
	claimer = "D-2"
	if diff := cmp.Diff([]string{"n2"}, claim(t0.Add(time.Minute), "n2", "n3")); diff != "" {
		t.Errorf("second claim (-want +got):\n%s", diff)
	}
	want("n2", "deploying alice none 0")
	want("n3", "deploying alice none 60")
	// After the limit a node that is still being deployed is free again.
	if busy := claim(t0.Add(limit+time.Second), "n2"); busy != nil {
		t.Errorf("claim after the limit: busy %v", busy)
	}
	settle(t0.Add(time.Hour), "deployed", &workflow.EnvRef{ID: e.ID, Name: "deb", Version: 1, User: "alice"}, "n1", "n2")
	want("n1", "deployed alice deb 3600")
	for workflow, want := range map[string]string{"D-1": "[n1 n2 n9]", "D-2": "[n1 n9]"} { // n1 has ended, n9 never was
		if lost, err := s.Lost(t.Context(), []string{"n1", "n2", "n9"}, workflow); err != nil || fmt.Sprint(lost) != want {
			t.Errorf("lost of %s: %v, %v, want %s", workflow, lost, err, want)
		}
	}
	if lost, err := s.Lost(t.Context(), nil, "D-1"); err != nil || lost != nil {
		t.Errorf("lost of none: %v, %v", lost, err)
	}
	want("n2", "deploying alice none 901") // the other workflow's end does not free it
	settler = "D-2"
	settle(t0.Add(time.Hour), "deployed", &workflow.EnvRef{ID: e.ID, Name: "deb", Version: 1, User: "alice"}, "n2")
	want("n2", "deployed alice deb 3600")
	if busy := claim(t0.Add(time.Hour+time.Second), "n1"); busy != nil {
		t.Errorf("claim of a deployed node: busy %v", busy)
	}
	want("n1", "deploying alice deb 3601") // it keeps its environment until it has another
	if err := s.Abandon(t.Context(), []string{"n1", "n2"}, workflow.NodeUpdate{Workflow: "D-1", State: "aborted", User: "root", At: t0.Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	want("n1", "deploying alice deb 3601") // it is another workflow's
	if err := s.Abandon(t.Context(), []string{"n1", "n2"}, workflow.NodeUpdate{Workflow: "D-2", State: "aborted", User: "root", At: t0.Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	want("n1", "aborted root deb 7200")
	want("n2", "deployed alice deb 3600")
	settle(t0, "deployed", &workflow.EnvRef{ID: -1, Name: "anonymous"}, "n1")
	want("n1", "deployed alice none 0")
	if err := s.Registry(nil).RemoveEnvironments(t.Context(), alice, []int64{e.ID}); err != nil {
		t.Fatal(err)
	}
	want("n2", "deployed alice none 3600")

	all, err := s.Nodes(t.Context(), nil)
	if err != nil || len(all) != 3 {
		t.Errorf("all nodes: %v, %v, want 3", all, err)
	}
	none, err := s.Nodes(t.Context(), []string{"n9"})
	if err != nil || len(none) != 0 {
		t.Errorf("a node that never was: %v, %v", none, err)
	}
}

// TestConcurrentClaims has many claim the same nodes: each node is had by one.
func TestConcurrentClaims(t *testing.T) {
	s := open(t)
	nodes := []string{"n1", "n2", "n3", "n4"}
	now := time.Unix(1_700_000_000, 0)
	var mu sync.Mutex
	had := make(map[string]int)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			u := workflow.NodeUpdate{Workflow: fmt.Sprint(i), State: "deploying", User: "alice", At: now}
			busy, err := s.Claim(t.Context(), nodes[i%4:], u, now.Add(-time.Minute))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, node := range nodes[i%4:] {
				if !slices.Contains(busy, node) {
					had[node]++
				}
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]int{"n1": 1, "n2": 1, "n3": 1, "n4": 1}, had); diff != "" {
		t.Errorf("claims that had each node (-want +got):\n%s", diff)
	}
}
