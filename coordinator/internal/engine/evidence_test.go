package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// bystander is a witness that takes a second for each node; silent says nothing, as long as it may.
type bystander struct {
	silent string
	mu     sync.Mutex
	asked  []string
	most   int // asked about at once
	now    int
}

func (b *bystander) Last(ctx context.Context, c *cluster.Cluster, node string) (console, agent string) {
	b.mu.Lock()
	b.asked = append(b.asked, node)
	b.now++
	b.most = max(b.most, b.now)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.now--
	}()
	if node == b.silent {
		<-ctx.Done()
		return "", ""
	}
	time.Sleep(time.Second)
	return c.Name + " console of " + node, "agent of " + node
}

// shelf keeps stories in memory.
type shelf struct {
	mu      sync.Mutex
	stories []*workflow.Story
}

func (s *shelf) Keep(_ context.Context, story *workflow.Story) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stories = append(s.stories, story)
	return nil
}

func TestEvidenceOfFailuresIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			if task.Micro == "mount_deploy_part" && node != "node-1.lab" {
				return errors.New("no such device")
			}
			return sleep(ctx, time.Second)
		})
		w, kept := &bystander{silent: "node-3.lab"}, &shelf{}
		b.cfg.Witness, b.cfg.Stories = w, kept
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "node-1.lab", "node-2.lab", "node-3.lab")), nil)
		b.wait("D-1")
		if len(kept.stories) != 1 {
			t.Fatalf("%d stories are kept, want 1", len(kept.stories))
		}
		s := kept.stories[0]
		check(t, "environment", "debian12-min:1", s.Env)
		var got []string
		for _, e := range s.Failures {
			got = append(got, fmt.Sprintf("%s %s-%s %d: %s; %q %q", e.Node, e.Instance, e.Micro, e.Attempt, e.Reason, e.Console, e.Agent))
		}
		slices.Sort(got) // nodes fail at the same moment
		check(t, "failures", []string{
			`node-2.lab SetDeploymentEnvUntrusted-mount_deploy_part 0: no such device; "lab console of node-2.lab" "agent of node-2.lab"`,
			`node-2.lab SetDeploymentEnvUntrusted-mount_deploy_part 1: no such device; "lab console of node-2.lab" "agent of node-2.lab"`,
			`node-3.lab SetDeploymentEnvUntrusted-mount_deploy_part 0: no such device; "" ""`,
			`node-3.lab SetDeploymentEnvUntrusted-mount_deploy_part 1: no such device; "" ""`,
		}, got)
		spans, _ := b.Timeline("D-1")
		check(t, "spans", spans, s.Spans)
		live, _ := b.Story("D-1")
		check(t, "failures of the live story", s.Failures, live.Failures)
	})
}

func TestEvidenceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(_ context.Context, task *workflow.Task, _ string) error {
			return errors.New("broken")
		})
		w, kept := &bystander{}, &shelf{}
		b.cfg.Witness, b.cfg.Stories = w, kept
		defer b.close()
		var nodes []string
		for i := range 200 {
			nodes = append(nodes, fmt.Sprintf("node-%d.lab", i+1))
		}
		b.submit(deployment("D-1", lab("lab", nodes...)), nil)
		b.wait("D-1")
		if n := len(kept.stories[0].Failures); n != evidenceMost {
			t.Errorf("%d failures are kept, want %d", n, evidenceMost)
		}
		if w.most > evidenceAtOnce {
			t.Errorf("%d nodes were asked about at once, want %d at most", w.most, evidenceAtOnce)
		}
	})
}
