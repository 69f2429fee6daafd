package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			switch {
			case task.Micro == "kexec" && node == "n2": // falls back to a hard reboot
				return errors.New("kexec:\n  no kernel")
			case task.Micro == "send_environment" && node == "n3" && task.Attempt == 0: // second try
				return errors.New("no route")
			case task.Instance == "BroadcastEnvKascade" && task.Micro == "install_bootloader" && node == "n4":
				return errors.New("grub:\n  no disk")
			}
			return sleep(ctx, time.Second)
		})
		defer b.close()
		began := time.Now()
		b.submit(deployment("D-1", lab("lab", "n1", "n2", "n3", "n4")), nil)
		b.wait("D-1")
		kept := b.memory.kept
		step := func(name string, timeout, retries, seconds int) stats.Step {
			return stats.Step{Name: name, Timeout: time.Duration(timeout) * time.Second, Retries: retries, Duration: time.Duration(seconds) * time.Second}
		}
		row := func(node string, good bool, reason string, steps ...stats.Step) stats.Row {
			r := stats.Row{Workflow: "D-1", User: "alice", Node: node, Cluster: "lab", Start: began, Env: "debian12-min:1", EnvOwner: "root", Success: good, Error: reason}
			copy(r.Steps[:], steps)
			return r
		}
		first, second, third := step("SetDeploymentEnvUntrusted", 200, 0, 8), step("BroadcastEnvKascade", 300, 0, 6), step("BootNewEnvKexec", 150, 0, 5)
		for i, want := range []stats.Row{
			row("n1", true, "", first, second, third),
			row("n2", true, "", first, second, step("BootNewEnvHardReboot", 150, 1, 6)),
			row("n3", true, "", first, step("BroadcastEnvKascade", 300, 1, 7), third), // a collective step fails when all are done
			row("n4", false, "BroadcastEnvKascade-install_bootloader: grub:; no disk", first, step("BroadcastEnvKascade", 300, 1, 8)),
		} {
			got := kept.Rows[i]
			for k := range got.Steps { // answers linger for some milliseconds
				got.Steps[k].Duration = got.Steps[k].Duration.Round(time.Second)
			}
			check(t, want.Node, want, got)
		}
		for _, m := range kept.Micros {
			switch m.Instance + " " + m.Name {
			case "BootNewEnvKexec kexec":
				check(t, "kexec", stats.Micro{Cluster: "lab", Macro: "BootNewEnv", Instance: "BootNewEnvKexec", Name: "kexec", Seconds: []float64{1, 1}, Failed: 1}, m)
			case "BroadcastEnvKascade install_bootloader":
				check(t, "failures of install_bootloader", 2, m.Failed)
			}
		}
		check(t, "first micro-step", "switch_pxe", kept.Micros[0].Name)
	})
}

func TestRecordOfACancelledOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error { return sleep(ctx, time.Minute) })
		defer b.close()
		b.memory.states["n2"] = "deploying" // by somebody else
		b.submit(deployment("D-1", lab("lab", "n1", "n2")), nil)
		time.Sleep(90 * time.Second)
		if err := b.Cancel("D-1", ""); err != nil {
			t.Fatal(err)
		}
		b.wait("D-1")
		kept := b.memory.kept
		if len(kept.Rows) != 1 || kept.Rows[0].Node != "n1" || kept.Rows[0].Success {
			t.Fatalf("rows %+v, want a failure of n1 only", kept.Rows)
		}
		check(t, "error", "SetDeploymentEnvUntrusted-reboot: the operation was cancelled", kept.Rows[0].Error)
		check(t, "micro-steps", []stats.Micro{{Cluster: "lab", Macro: "SetDeploymentEnv", Instance: "SetDeploymentEnvUntrusted", Name: "switch_pxe", Seconds: []float64{60}}}, kept.Micros)
	})
}

// Where all nodes are busy elsewhere, nothing was done to any.
func TestNoRecordOfBusyNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.memory.states["n1"] = "deploying" // by somebody else
		b.submit(deployment("D-1", lab("lab", "n1")), nil)
		if v := b.wait("D-1"); v.Failure == nil || b.memory.kept == nil {
			t.Fatalf("failure %v, record %v, want both", v.Failure, b.memory.kept)
		}
		if rows := b.memory.kept.Rows; len(rows) != 0 {
			t.Errorf("rows %+v, want none", rows)
		}
	})
}

// What the journal tells of a workflow whose coordinator died is kept, together with what came after.
func TestRecordOfAnInterruptedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error { return sleep(ctx, time.Second) })
		b.submit(deployment("D-1", lab("lab", "n1")), nil)
		b.wait("D-1")
		records := b.memory.records
		b.close()

		after := newBench(t, nil)
		defer after.close()
		after.memory.records = records[:len(records)/2]
		past := workflow.Interrupted{Request: b.memory.began["D-1"], Launched: true, Records: records[:len(records)/2]}
		if err := after.Recover(t.Context(), []workflow.Interrupted{past}); err != nil {
			t.Fatal(err)
		}
		after.wait("D-1")
		kept := after.memory.kept
		if len(kept.Rows) != 1 || !kept.Rows[0].Success || kept.Rows[0].Steps[0].Duration.Round(time.Second) != 8*time.Second || len(kept.Micros) == 0 {
			t.Errorf("kept %+v", kept)
		}
	})
}
