package store

import (
	"testing"
	"time"

	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/workflow"
)

func TestBootsSince(t *testing.T) {
	s := bootStore(t)
	now := time.Unix(1_700_000_000, 0)
	s.now = func() time.Time { return now }
	settle := func(wid, node string) {
		t.Helper()
		if err := s.Settle(t.Context(), []string{node}, workflow.NodeUpdate{Workflow: wid, State: "deploy_failed", User: "alice", At: now}); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range []string{"n1", "n2", "n3", "n4"} {
		settle("D-1", node)
		if err := s.SetBootProfile(t.Context(), node, "D-1", profile.Profile{Kind: profile.MiniOS}); err != nil {
			t.Fatal(err)
		}
		token, err := s.Mint(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		if node == "n3" {
			continue // its agent never dialled
		}
		if err := s.Admit(t.Context(), node, token, "key of "+node); err != nil {
			t.Fatal(err)
		}
	}
	// Another one came.
	if busy, err := s.Claim(t.Context(), []string{"n2"}, workflow.NodeUpdate{Workflow: "R-1", State: "rebooting", User: "bob", At: now}, now); err != nil || len(busy) > 0 {
		t.Fatalf("Claim = %v, %v", busy, err)
	}
	got, err := s.BootsSince(t.Context(), "D-1", []string{"n1", "n2", "n3", "nowhere"})
	if err != nil || len(got) != 1 || !got["n1"].Equal(now) {
		t.Errorf("BootsSince = %v, %v; want n1 at %v only", got, err, now)
	}
	now = now.Add(time.Minute)
	if _, err := s.Mint(t.Context(), "n1"); err != nil { // it boots again
		t.Fatal(err)
	}
	if got, err = s.BootsSince(t.Context(), "D-1", []string{"n1"}); err != nil || len(got) != 0 {
		t.Errorf("while it boots: %v, %v", got, err)
	}
}
