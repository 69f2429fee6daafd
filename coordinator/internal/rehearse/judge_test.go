package rehearse

import (
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// stay is a failed stay of node n that ended so many seconds after noon.
func stay(instance, micro string, second int, reason string) workflow.Span {
	at := noon.Add(time.Duration(second) * time.Second)
	return workflow.Span{Node: "n", Macro: "BroadcastEnv", Instance: instance, Micro: micro, Started: at.Add(-time.Second), Ended: at, Error: reason}
}

func TestJudge(t *testing.T) {
	const lost, said = "lost the agent of the node: EOF", "receive: rehearsed failure at receive"
	gone := stay("BroadcastEnvKascade", "send_environment", 5, lost)
	for _, c := range []struct {
		name   string
		fault  Fault
		struck bool
		ko     bool
		error  string
		spans  []workflow.Span
		rescue bool
		wrong  string // part of the text; empty: all is as it must be
	}{
		{name: "healthy"},
		{name: "healthy, listed ko", ko: true, error: "x", wrong: "no fault has struck"},
		{name: "healthy, recovered", spans: []workflow.Span{gone}},
		{name: "slow", fault: Fault{Kind: Slow}},
		{name: "slow, listed ko", fault: Fault{Kind: Slow}, ko: true, wrong: "no fault has struck"},
		{name: "a fault that never struck", fault: Fault{Death, AtKexec}},
		{name: "death", fault: Fault{Death, AtReceive}, struck: true, ko: true, error: "BroadcastEnvKascade-send_environment: " + lost, spans: []workflow.Span{gone}},
		{name: "death, listed ok", fault: Fault{Death, AtReceive}, struck: true, spans: []workflow.Span{gone}, wrong: "listed ok"},
		{name: "death that nobody saw", fault: Fault{Death, AtReceive}, struck: true, ko: true, wrong: "no micro-step failed"},
		{name: "death seen elsewhere", fault: Fault{Death, AtMount}, struck: true, ko: true, spans: []workflow.Span{gone}, wrong: "not in mount_deploy_part"},
		{name: "death seen before it struck", fault: Fault{Death, AtReceive}, struck: true, ko: true,
			spans: []workflow.Span{stay("BroadcastEnvKascade", "send_environment", -5, lost)}, wrong: "no micro-step failed"},
		{name: "death for another reason", fault: Fault{Death, AtReceive}, struck: true, ko: true,
			spans: []workflow.Span{stay("BroadcastEnvKascade", "send_environment", 5, "disk full")}, wrong: "does not tell that the node was lost"},
		{name: "death with the error of another place", fault: Fault{Death, AtReceive}, struck: true, ko: true, error: "BootNewEnvKexec-kexec: x", spans: []workflow.Span{gone}, wrong: "does not begin with"},
		{name: "error", fault: Fault{Error, AtReceive}, struck: true, ko: true, error: "BroadcastEnvKascade-send_environment: " + said,
			spans: []workflow.Span{stay("BroadcastEnvKascade", "send_environment", 5, said)}},
		{name: "error that was rephrased", fault: Fault{Error, AtReceive}, struck: true, ko: true, error: "BroadcastEnvKascade-send_environment: " + lost, spans: []workflow.Span{gone}, wrong: "not what the node said"},
		{name: "hang that nothing cures", fault: Fault{Hang, AtReceive}, struck: true, ko: true, error: "BroadcastEnvKascade-send_environment: " + lost, spans: []workflow.Span{gone}},
		{name: "hang that a reset cures", fault: Fault{Hang, AtReceive}, struck: true, spans: []workflow.Span{gone}, rescue: true},
		{name: "hang, not reset", fault: Fault{Hang, AtReceive}, struck: true, ko: true, error: "x", spans: []workflow.Span{gone}, rescue: true, wrong: "was to be reset"},
	} {
		o := Observed{Spans: c.spans, OK: []string{"n"}, Errors: map[string]string{"n": c.error}, Strikes: map[string]time.Time{}}
		if c.ko {
			o.OK, o.KO = nil, []string{"n"}
		}
		if c.struck {
			o.Strikes["n"] = noon
		}
		v := Judge([]string{"n"}, map[string]Fault{"n": c.fault}, o, func(string, string, string, int) bool { return c.rescue })
		got := ""
		if len(v.Wrong) > 0 {
			got = v.Wrong[0].Wrong
		}
		if (got == "") != (c.wrong == "") || !strings.Contains(got, c.wrong) || v.Good() != (c.wrong == "") {
			t.Errorf("%s: wrong = %q, good %v; want %q", c.name, got, v.Good(), c.wrong)
		}
	}
}

func TestJudgeLists(t *testing.T) {
	v := Judge([]string{"a", "b", "c"}, nil, Observed{OK: []string{"a", "b"}, KO: []string{"b"}}, nil)
	if len(v.Wrong) != 2 || v.Wrong[0].Node != "b" || v.Wrong[1].Node != "c" {
		t.Errorf("a node in both lists, and one in none: %+v", v.Wrong)
	}
	if v := Judge([]string{"a"}, nil, Observed{OK: []string{"a"}, Locked: []string{"a"}}, nil); v.Good() {
		t.Error("a node that is locked is good")
	}
}

// TestJudgeWholeDeployment: where every point is on the way, a fault that does not strike
// is a rehearsal that shows nothing.
func TestJudgeWholeDeployment(t *testing.T) {
	for _, c := range []struct {
		fault Fault
		good  bool
	}{{Fault{Death, AtMount}, false}, {Fault{Error, AtMount}, false}, {Fault{Hang, AtMount}, false}, {Fault{Kind: Slow}, true}, {Fault{}, true}} {
		v := Judge([]string{"n"}, map[string]Fault{"n": c.fault}, Observed{OK: []string{"n"}, Whole: true}, nil)
		if v.Good() != c.good {
			t.Errorf("%s did not strike: good %v, wrong %+v", c.fault, v.Good(), v.Wrong)
		}
	}
}

func TestResets(t *testing.T) {
	a := &cluster.Automaton{
		SetDeploymentEnv: []cluster.Instance{{Name: "SetDeploymentEnvUntrusted", Retries: 1}},
		BroadcastEnv:     []cluster.Instance{{Name: "BroadcastEnvKascade", Retries: 2}},
		BootNewEnv:       []cluster.Instance{{Name: "BootNewEnvKexec"}, {Name: "BootNewEnvHardReboot"}},
	}
	for _, c := range []struct {
		macro, instance string
		attempt         int
		want            bool
	}{
		{"SetDeploymentEnv", "SetDeploymentEnvUntrusted", 0, true},
		{"SetDeploymentEnv", "SetDeploymentEnvUntrusted", 1, false},
		{"BroadcastEnv", "BroadcastEnvKascade", 0, false},
		{"BootNewEnv", "BootNewEnvKexec", 0, true},
		{"BootNewEnv", "BootNewEnvHardReboot", 0, false},
	} {
		if got := Resets(a, c.macro, c.instance, c.attempt); got != c.want {
			t.Errorf("Resets(%s, %d) = %v, want %v", c.instance, c.attempt, got, c.want)
		}
	}
}
