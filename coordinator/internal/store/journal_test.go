package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
)

func journalRequest(id string) *workflow.Request {
	no := false
	return &workflow.Request{
		ID: id, Kind: workflow.Deploy, User: "alice", Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Clusters: []workflow.ClusterNodes{{
			Cluster: &cluster.Cluster{
				Name: "lab", Nodes: []cluster.Node{{Name: "node-1.lab", Address: netip.MustParseAddr("10.0.0.1"), MAC: "02:00:00:00:00:01"}},
				Partitioning: cluster.Partitioning{BlockDevice: "/dev/vda", Deploy: 3, Swap: 1, Script: []byte("#!/bin/sh\n\x00\xff")},
				Automaton:    cluster.Automaton{BootNewEnv: []cluster.Instance{{Name: "BootNewEnvKexec", Timeout: time.Minute, Raisable: true}}},
				Remote:       cluster.RemoteOps{PerNode: map[string]cluster.NodeOps{"node-1.lab": {Console: cluster.Command{Line: "con"}}}},
			},
			Nodes: []string{"node-1.lab"},
		}},
		Env:   &env.Description{Name: "débian", Version: 3, OS: "linux", Options: env.Options{Kexec: &no}},
		EnvID: -1, Keys: []byte("ssh-ed25519 AAAA"),
		Files:     workflow.Files{Image: workflow.File{Path: "/cache/x", Size: 42, Hash: "ab"}, Postinstalls: []workflow.File{{Path: "/cache/y"}}},
		Variables: map[string]string{"A": "b"},
	}
}

func TestJournalRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := openAt(t, path)
	j := s.Journal()
	ctx := t.Context()
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.Local)
	for _, id := range []string{"D-1", "D-2"} {
		if err := j.Begin(ctx, journalRequest(id)); err != nil {
			t.Fatal(err)
		}
	}
	records := []workflow.Record{
		{Workflow: "D-1", Cluster: 0, Seq: 1, At: at, Events: []workflow.Event{{Kind: workflow.Begin, Refused: []string{"x"}, Reason: "busy"}}},
		{Workflow: "D-1", Cluster: 0, Seq: 2, At: at.Add(time.Second), Events: []workflow.Event{}},
		{Workflow: "D-1", Cluster: 0, Seq: 3, At: at.Add(2 * time.Second), Events: []workflow.Event{{Kind: workflow.Failed, Task: 1, Node: "node-1.lab", Reason: "a\nb"}}},
	}
	if err := j.Append(ctx, records[:2]); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(ctx, records[2:]); err != nil {
		t.Fatal(err)
	}
	if err := j.End(ctx, "D-2", nil); err != nil {
		t.Fatal(err)
	}
	got, err := j.Unfinished(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []workflow.Interrupted{{Request: journalRequest("D-1"), Launched: true, Records: records}}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), same); d != "" {
		t.Errorf("Unfinished (-want +got):\n%s", d)
	}
	ended, ok, err := j.Find(ctx, "D-2")
	if d := cmp.Diff(workflow.Interrupted{Request: journalRequest("D-2"), Launched: true, Ended: true}, ended, cmpopts.EquateEmpty(), same); d != "" || !ok || err != nil {
		t.Errorf("Find: %v, %v (-want +got):\n%s", ok, err, d)
	}
	if _, ok, err := j.Find(ctx, "D-9"); ok || err != nil {
		t.Errorf("Find of none: %v, %v", ok, err)
	}
}

func TestJournalRefuses(t *testing.T) {
	s := open(t)
	j := s.Journal()
	ctx := t.Context()
	if err := j.Begin(ctx, journalRequest("D-1")); err != nil {
		t.Fatal(err)
	}
	if err := j.Begin(ctx, journalRequest("D-1")); err == nil {
		t.Error("a workflow was begun twice")
	}
	if err := j.Append(ctx, []workflow.Record{{Workflow: "D-9", Seq: 1}}); err == nil {
		t.Error("a transition of an unknown workflow was journalled")
	}
	one := []workflow.Record{{Workflow: "D-1", Seq: 1, At: time.Now()}}
	if err := j.Append(ctx, one); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(ctx, one); err == nil {
		t.Error("a transition was journalled twice")
	}
	if err := j.End(ctx, "D-9", nil); err == nil {
		t.Error("an unknown workflow ended")
	}
}

// A workflow is accepted before its files are there, and its request is completed when it begins.
func TestJournalAccepts(t *testing.T) {
	s := open(t)
	j := s.Journal()
	ctx := t.Context()
	req := journalRequest("D-1")
	req.Files = workflow.Files{}
	if err := j.Accept(ctx, req); err != nil {
		t.Fatal(err)
	}
	if err := j.Accept(ctx, req); err == nil {
		t.Error("a workflow was accepted twice")
	}
	all, err := j.Unfinished(ctx)
	if err != nil || len(all) != 1 || all[0].Launched {
		t.Fatalf("unfinished: %+v, %v", all, err)
	}
	if err := j.Begin(ctx, journalRequest("D-1")); err != nil {
		t.Fatal(err)
	}
	all, err = j.Unfinished(ctx)
	if err != nil || len(all) != 1 || !all[0].Launched || all[0].Request.Files.Image.Hash != "ab" {
		t.Fatalf("unfinished: %+v, %v", all, err)
	}
	if err := j.Accept(ctx, journalRequest("D-2")); err != nil {
		t.Fatal(err)
	}
	if err := j.End(ctx, "D-2", nil); err != nil {
		t.Errorf("end of a workflow that never began: %v", err)
	}
	if err := j.Begin(ctx, journalRequest("D-2")); err == nil {
		t.Error("a workflow began after its end")
	}
}

// Transitions of many workflows at once: each is kept, and one that is refused
// does not spoil the others of its transaction.
func TestJournalTogether(t *testing.T) {
	s := open(t)
	j := s.Journal()
	ctx := t.Context()
	const flows, each = 8, 20
	for i := range flows {
		if err := j.Begin(ctx, journalRequest(fmt.Sprintf("D-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range flows {
		wg.Go(func() {
			for seq := 1; seq <= each; seq++ {
				if err := j.Append(ctx, []workflow.Record{{Workflow: fmt.Sprintf("D-%d", i), Seq: seq, At: time.Now()}}); err != nil {
					t.Errorf("append %d of %d: %v", seq, i, err)
				}
			}
		})
		wg.Go(func() {
			if err := j.Append(ctx, []workflow.Record{{Workflow: "D-unknown", Seq: i}}); err == nil {
				t.Error("a transition of an unknown workflow was journalled")
			}
		})
	}
	wg.Wait()
	all, err := j.Unfinished(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != flows {
		t.Fatalf("%d unfinished workflows, want %d", len(all), flows)
	}
	for _, w := range all {
		if len(w.Records) != each {
			t.Errorf("%s has %d transitions, want %d", w.Request.ID, len(w.Records), each)
		}
	}
}

// What cannot be read is listed with the reason, beside the others.
func TestJournalThatCannotBeRead(t *testing.T) {
	s := open(t)
	j := s.Journal()
	for _, id := range []string{"D-1", "D-2", "D-3"} {
		if err := j.Begin(t.Context(), &workflow.Request{ID: id, Kind: workflow.Deploy}); err != nil {
			t.Fatal(err)
		}
		if err := j.Append(t.Context(), []workflow.Record{{Workflow: id, Seq: 1, At: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []string{
		`UPDATE journal_workflows SET request = '{"ID": 7}' WHERE id = 'D-1'`, `UPDATE journal_records SET events = '{}' WHERE workflow = 'D-2'`,
	} {
		if err := s.update(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, change)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := j.Unfinished(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range all {
		got = append(got, fmt.Sprint(w.Request.ID, " ", w.Request.Kind, " ", w.Unreadable != nil, " ", len(w.Records)))
	}
	if want := []string{"D-1  true 0", "D-2 deployment true 0", "D-3 deployment false 1"}; !slices.Equal(got, want) {
		t.Errorf("unfinished are %q, want %q", got, want)
	}
	if _, _, err := j.Find(t.Context(), "D-1"); err == nil || !strings.Contains(err.Error(), "request of workflow D-1") {
		t.Errorf("Find = %v", err)
	}
}

func TestJournalForgetsOldOnes(t *testing.T) {
	s := open(t)
	j := s.Journal()
	ctx := t.Context()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return now }
	for _, id := range []string{"D-1", "D-2"} {
		if err := j.Begin(ctx, journalRequest(id)); err != nil {
			t.Fatal(err)
		}
		if err := j.Append(ctx, []workflow.Record{{Workflow: id, Seq: 1, At: now}}); err != nil {
			t.Fatal(err)
		}
		if err := j.End(ctx, id, nil); err != nil {
			t.Fatal(err)
		}
		now = now.Add(journalKept + time.Hour)
	}
	var workflows, records int
	if err := s.reader.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM journal_workflows), (SELECT count(*) FROM journal_records)").Scan(&workflows, &records); err != nil {
		t.Fatal(err)
	}
	if workflows != 1 || records != 1 {
		t.Errorf("%d workflows and %d transitions are kept, want one of each", workflows, records)
	}
}
