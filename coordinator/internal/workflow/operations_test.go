package workflow

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
)

func exec(names ...string) (ops []customops.Op) {
	for _, name := range names {
		ops = append(ops, customops.Op{Name: name, Action: customops.Exec, Command: "true"})
	}
	return ops
}

func TestOperationsStandAroundTheirMicroStep(t *testing.T) {
	req, c := ordinary()
	c.Automaton.SetDeploymentEnv[1].Micro = []cluster.MicroOverride{{
		Name: "mount_deploy_part", Raisable: false, Breakpoint: true, Operations: customops.Steps{Pre: exec("site"), Post: exec("site")},
	}}
	req.Operations = customops.Set{
		"SetDeploymentEnv":             {"mount_deploy_part": {Pre: exec("all")}, "format_swap_part": {Substitute: exec("mine")}},
		"SetDeploymentMiniOSUntrusted": {"mount_deploy_part": {Override: true, Post: exec("last")}},
		"BroadcastEnvChain":            {"send_environment": {Pre: exec("never")}}, // no such instance in the automaton
		"BroadcastEnv":                 {"decompress_environment": {Pre: exec("bypassed")}},
	}
	plan, err := NewPlan(req, ClusterNodes{c, []string{"n1"}})
	if err != nil {
		t.Fatal(err)
	}
	steps := sketch(plan)
	for instance, want := range map[string]string{
		trusted:   "mount_deploy_part-all mount_deploy_part",
		untrusted: "mount_deploy_part-site mount_deploy_part-all mount_deploy_part mount_deploy_part-last",
		kascade:   "send_environment",
	} {
		var got []string
		for s := range strings.FieldsSeq(steps[instance]) {
			if strings.Contains(s, "mount") || strings.Contains(s, "send_environment") || strings.Contains(s, "never") || strings.Contains(s, "bypassed") {
				s, _, _ = strings.Cut(s, "(")
				got = append(got, s)
			}
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", instance, diff)
		}
	}
	for instance, s := range steps {
		if strings.Contains(instance, "SetDeployment") && (!strings.Contains(s, "format_swap_part-mine") || strings.Contains(s, "format_swap_part ")) {
			t.Errorf("%s: format_swap_part is not substituted in %s", instance, s)
		}
	}
	var marks []string
	for _, m := range plan.Macros[0].Instances[1].Micros {
		if m.Breakpoint || !m.Raisable {
			marks = append(marks, m.Name)
		}
	}
	if diff := cmp.Diff([]string{"mount_deploy_part-site", "mount_deploy_part-last"}, marks); diff != "" {
		t.Errorf("breakpoint before the first, barrier behind the last: %s", diff)
	}
}

func TestOperationsHaveTheirOwnLimits(t *testing.T) {
	req, c := ordinary()
	op := customops.Op{Name: "x", Action: customops.Send, File: "/f", Destination: "/d", Timeout: 7 * time.Second, Retries: 2}
	req.Operations = customops.Set{"BroadcastEnv": {"send_key": {Pre: []customops.Op{op}}}}
	plan, err := NewPlan(req, ClusterNodes{c, []string{"n1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range plan.Macros[1].Instances[0].Micros {
		if m.Op != nil && (m.Limit != op.Timeout || m.Retries != 2 || !m.Collective() || m.Name != "send_key-x") {
			t.Errorf("%+v", m)
		}
	}
	if diff := cmp.Diff([]customops.Op{op}, req.OperationFiles()); diff != "" {
		t.Error(diff)
	}
}

// TestOperationsTranscript plays a deployment in which an operation fails on one
// node, which repeats it by itself before its instance is given up.
func TestOperationsTranscript(t *testing.T) {
	req, c := ordinary()
	c.Automaton.SetDeploymentEnv = c.Automaton.SetDeploymentEnv[1:]
	for _, list := range [][]cluster.Instance{c.Automaton.SetDeploymentEnv, c.Automaton.BroadcastEnv, c.Automaton.BootNewEnv} {
		for i := range list {
			list[i].Name = CanonicalInstance(list[i].Name[:strings.LastIndexAny(list[i].Name, "UKH")] + "Dummy")
		}
	}
	c.Automaton.BootNewEnv = c.Automaton.BootNewEnv[:1]
	op := customops.Op{Name: "hello", Action: customops.Exec, Command: "true", Retries: 1}
	req.Operations = customops.Set{"BroadcastEnv": {"dummy": {Pre: []customops.Op{op}, Substitute: exec("instead")}}}
	plan, err := NewPlan(req, ClusterNodes{c, []string{"n1", "n2"}})
	if err != nil {
		t.Fatal(err)
	}
	a := NewAutomaton(plan, []string{"n1", "n2"})
	now := epoch
	var log []string
	queue := []Event{{Kind: Begin}}
	failures := 2
	for len(queue) > 0 {
		now = now.Add(time.Second)
		out, err := a.Step(now, queue...)
		if err != nil {
			t.Fatal(err)
		}
		queue = nil
		for _, n := range out.Notices {
			if j, ok := n.(Judged); ok {
				log = append(log, strings.Join(j.Nodes, ",")+" is "+string(j.Verdict)+" "+strings.TrimSuffix(j.Instance+"-"+j.Micro+": "+j.Reason, "-: "))
			}
		}
		for _, cmd := range out.Commands {
			r, ok := cmd.(Run)
			if !ok {
				continue
			}
			log = append(log, r.Micro.Name+" on "+strings.Join(r.Nodes, ","))
			for _, node := range r.Nodes {
				e := Event{Kind: Passed, Task: r.Task, Node: node}
				if node == "n2" && r.Op != nil && r.Op.Name == "hello" && failures > 0 {
					failures--
					e.Kind, e.Reason = Failed, "exit status 1"
				}
				queue = append(queue, e)
			}
		}
	}
	got := strings.Join(log, "\n") + "\n"
	const file = "testdata/operations.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if diff := cmp.Diff(string(want), got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestBreakpointOfAMicroStepStandsBeforeItsOperations(t *testing.T) {
	req, c := ordinary()
	req.Operations = customops.Set{"BroadcastEnv": {"send_environment": {Substitute: exec("mine")}}}
	req.Breakpoint = "BroadcastEnv:send_environment"
	plan, err := NewPlan(req, ClusterNodes{c, []string{"n1"}})
	if err != nil {
		t.Fatal(err)
	}
	if m := plan.Macros[1].Instances[0].Micros[0]; !m.Breakpoint || m.shown() != "send_environment" {
		t.Errorf("%+v", m)
	}
}

func TestPlacesOfOperations(t *testing.T) {
	known := Operations()
	for name, want := range map[string]bool{
		"SetDeploymentEnv": true, "SetDeploymentMiniOS": true, "SetDeploymentMiniOSTrusted": true, "SetDeploymentEnvUntrusted": true,
		"BroadcastEnvKascade": true, "BootNewEnv": true, "Simple": true, "SetPXE": true, "DeployEnv": true, "RecordedEnv": true, "On": true, "Off": true, "Status": true,
		"": false, "Set": false, "BroadcastEnvFoo": false, "Dummy": false,
	} {
		if got := known.Macro(name); got != want {
			t.Errorf("Macro(%q) = %v", name, got)
		}
	}
	if _, err := customops.Parse(map[string]any{"BroadcastEnv": map[string]any{"nothing": nil}}, known); !errors.As(err, new(*customops.Error)) {
		t.Errorf("an unknown micro-step: %v", err)
	}
}
