package engine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// TestLongDeploymentKeepsItsNodes lets two users' deployments contend for a node when
// the first takes longer than the time after which a busy node counts as free.
func TestLongDeploymentKeepsItsNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		did := make(map[string][]string) // micro-steps by workflow and node
		b := newBench(t, nil)
		defer b.close()
		b.script.act = func(ctx context.Context, task *workflow.Task, node string) error {
			b.memory.mu.Lock()
			did[task.Request.ID+" "+node] = append(did[task.Request.ID+" "+node], task.Micro)
			b.memory.mu.Unlock()
			if task.Micro == "send_environment" && task.Request.ID == "D-1" {
				return sleep(ctx, time.Hour)
			}
			return sleep(ctx, time.Second)
		}
		long := lab("lab", "n1", "n2")
		long.Cluster.Automaton.BroadcastEnv = []cluster.Instance{{Name: "BroadcastEnvKascade", Raisable: true}}
		b.submit(deployment("D-1", long), nil)
		time.Sleep(30 * time.Minute) // twice BusyFor

		b.submit(deployment("D-2", lab("lab", "n2", "n3")), nil)
		v := b.wait("D-2")
		check(t, "ok", []string{"n3"}, v.OK)
		check(t, "ko", []string{"n2"}, v.KO)
		if steps := did["D-2 n2"]; len(steps) > 0 {
			t.Errorf("the node of another deployment was touched: %v", steps)
		}
		b.submit(deployment("D-3", lab("lab", "n1")), nil)
		if v := b.wait("D-3"); v.Failure == nil || v.Failure.Code != nothingModified {
			t.Errorf("all nodes are another's: failure %+v, want code %d", v.Failure, nothingModified)
		}
		check(t, "ok of the first", []string{"n1", "n2"}, b.wait("D-1").OK)

		b.submit(deployment("D-4", lab("lab", "n1", "n2")), nil)
		check(t, "ok afterwards", []string{"n1", "n2"}, b.wait("D-4").OK)
	})
}

// TestNodesOfOneWithoutRightsAreFree: an operation that never ends does not block nodes
// on which its user has no rights any more.
func TestNodesOfOneWithoutRightsAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			if task.Request.ID == "D-1" {
				return sleep(ctx, 100*time.Hour)
			}
			return sleep(ctx, time.Second)
		})
		defer b.close()
		gone := false
		b.Engine.cfg.Refused = func(_ context.Context, user string, nodes []string) ([]string, error) {
			if gone && user == "alice" {
				return nodes, nil
			}
			return nil, nil
		}
		endless := lab("lab", "n1")
		endless.Cluster.Automaton.SetDeploymentEnv = []cluster.Instance{{Name: "SetDeploymentEnvUntrusted", Raisable: true}}
		b.submit(deployment("D-1", endless), nil)
		order := func(id string) workflow.View {
			r := deployment(id, lab("lab", "n1"))
			r.User = "bob"
			b.submit(r, nil)
			return b.wait(id)
		}
		time.Sleep(30 * time.Minute)
		if v := order("D-2"); v.Failure == nil {
			t.Errorf("the node is alice's: ok %v", v.OK)
		}
		gone = true
		check(t, "ok for bob", []string{"n1"}, order("D-3").OK)
		if err := b.Cancel("D-1", ""); err != nil {
			t.Error(err)
		}
		b.wait("D-1")
	})
}

// TestForceTakesNodesThatAreUnderWay: who forces it is not refused.
func TestForceTakesNodesThatAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "n1")), nil)
		time.Sleep(2 * time.Second)
		forced := deployment("D-2", lab("lab", "n1"))
		forced.Force = true
		b.submit(forced, nil)
		if v := b.wait("D-2"); !slices.Equal(v.OK, []string{"n1"}) {
			t.Errorf("forced: ok %v, failure %v", v.OK, v.Failure)
		}
		b.wait("D-1")
	})
}
