package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/workflow"
)

func TestStoriesAreKeptForThirtyDays(t *testing.T) {
	s := open(t)
	now := epoch
	s.now = func() time.Time { return now }
	old := &workflow.Story{
		ID: "D-1", Kind: workflow.Deploy, User: "alice", Env: "debian:1", Started: epoch.UTC(), Ended: epoch.Add(time.Minute).UTC(),
		Spans:    []workflow.Span{{Node: "n1", Cluster: "lab", Macro: "BootNewEnv", Instance: "BootNewEnvKexec", Micro: "kexec", Queued: epoch.UTC(), Started: epoch.UTC()}},
		Failures: []workflow.Evidence{{Node: "n1", Reason: "no\nway", Console: "panic", Time: epoch.UTC()}},
	}
	if err := s.Keep(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	got, err := s.Story(t.Context(), "D-1")
	if d := cmp.Diff(old, got); err != nil || d != "" {
		t.Errorf("Story = %v (-want +got):\n%s", err, d)
	}
	old.User = "bob" // the end of one workflow can be written twice, after a crash
	if err := s.Keep(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Story(t.Context(), "D-1"); err != nil || got.User != "bob" {
		t.Errorf("Story = %+v, %v; want that of bob", got, err)
	}
	now = epoch.Add(31 * 24 * time.Hour)
	if err := s.Keep(t.Context(), &workflow.Story{ID: "D-2", Kind: workflow.Deploy}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Story(t.Context(), "D-1"); got != nil || err != nil {
		t.Errorf("Story after 31 days = %+v, %v; want none", got, err)
	}
	if got, err := s.Story(t.Context(), "D-2"); got == nil || err != nil {
		t.Errorf("Story of D-2 = %v, %v", got, err)
	}
}
