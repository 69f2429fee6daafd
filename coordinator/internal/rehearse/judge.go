package rehearse

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// Observed is what came out of a deployment.
type Observed struct {
	OK, KO  []string
	Errors  map[string]string // of the nodes in KO: INSTANCE-MICRO: reason
	Spans   []workflow.Span
	Strikes map[string]time.Time
	Locked  []string // nodes that the store still takes for busy
	Whole   bool     // the deployment comes to the point of every fault
}

// Finding is what is said of one node with a fault, or of one that is not as it should be.
type Finding struct {
	Node   string `json:"node"`
	Fault  string `json:"fault"`           // kind and point; empty: none
	Struck bool   `json:"struck"`          // the deployment came to that point
	Seen   string `json:"seen,omitempty"`  // INSTANCE-MICRO in which the coordinator found out
	Result string `json:"result"`          // ok or ko
	Error  string `json:"error,omitempty"` // as users see it
	Wrong  string `json:"wrong,omitempty"` // why that is not what the fault must lead to
}

// Verdict is what a rehearsal has shown.
type Verdict struct {
	Faulty    []Finding `json:"faulty"`    // nodes with a fault, in natural order
	Wrong     []Finding `json:"wrong"`     // nodes that are not as they should be
	Recovered []Finding `json:"recovered"` // nodes without a fault that failed at first
	Locked    []string  `json:"locked"`    // nodes that are still busy after the end
}

// Good tells whether every list is right and nothing is stuck.
func (v *Verdict) Good() bool { return len(v.Wrong) == 0 && len(v.Locked) == 0 }

// seenIn are the micro-steps in which the coordinator must find out that a fault has
// struck at a point.
var seenIn = map[Point][]string{
	AtBoot:       {workflow.WaitReboot},
	AtDial:       {workflow.WaitReboot},
	AtKeys:       {workflow.SendKeyInDeployEnv, workflow.SendKey},
	AtPartition:  {workflow.CreatePartitionTable},
	AtFormat:     {workflow.FormatDeployPart, workflow.FormatTmpPart, workflow.FormatSwapPart},
	AtMount:      {workflow.MountDeployPart},
	AtReceive:    {workflow.SendEnvironment},
	AtKernel:     {workflow.CheckKernelFiles},
	AtBootloader: {workflow.InstallBootloader},
	AtRun:        {workflow.StartupScript, workflow.CreatePartitionTable, workflow.InstallBootloader, workflow.Sync},
	AtUnmount:    {workflow.UmountDeployPart},
	AtKexec:      {workflow.Kexec, workflow.WaitReboot},
	AtReboot:     {workflow.RebootFromDeployEnv, workflow.WaitReboot},
	AtSystem:     {workflow.WaitReboot},
}

// Judge compares what came out with what the faults must lead to. rescue tells whether
// a node that hangs in an instance of a macro-step is reset later in that macro-step.
func Judge(nodes []string, faults map[string]Fault, o Observed, rescue func(node, macro, instance string, attempt int) bool) *Verdict {
	v := &Verdict{Faulty: []Finding{}, Wrong: []Finding{}, Recovered: []Finding{}, Locked: o.Locked}
	if v.Locked == nil {
		v.Locked = []string{}
	}
	ok, ko := setOf(o.OK), setOf(o.KO)
	failures := make(map[string][]workflow.Span)
	for _, s := range o.Spans {
		if s.Error != "" {
			failures[s.Node] = append(failures[s.Node], s)
		}
	}
	for _, name := range nodes {
		f := Finding{Node: name, Fault: faults[name].String(), Error: o.Errors[name], Result: "ok"}
		if ko[name] {
			f.Result = "ko"
		}
		at, struck := o.Strikes[name]
		f.Struck = struck
		failed := failures[name]
		if struck {
			failed = after(failed, at)
		}
		if len(failed) > 0 {
			f.Seen = failed[0].Instance + "-" + failed[0].Micro
		}
		switch {
		case ok[name] == ko[name]:
			f.Wrong = "it is in both lists, or in none"
			if !ok[name] {
				f.Result = "none"
			}
		default:
			f.Wrong = wrong(faults[name], struck, ko[name], failed, f.Error, rescue)
			if f.Wrong == "" && o.Whole && !struck && strikesAt(faults[name]) {
				f.Wrong = "its fault has not struck, though the deployment came past its point: the rehearsal has shown nothing there"
			}
		}
		if faults[name].Kind != None {
			v.Faulty = append(v.Faulty, f)
		}
		if f.Wrong != "" {
			v.Wrong = append(v.Wrong, f)
		} else if !struck && len(failures[name]) > 0 {
			v.Recovered = append(v.Recovered, f)
		}
	}
	return v
}

// strikesAt tells whether a fault strikes at a point.
func strikesAt(f Fault) bool { return f.Kind != None && f.Kind != Slow }

// after are the failures that ended after a moment, which two processes' clocks share.
func after(failed []workflow.Span, at time.Time) []workflow.Span {
	return slices.DeleteFunc(slices.Clone(failed), func(s workflow.Span) bool { return s.Ended.Before(at) })
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// wrong says why a node's end is not what its fault must lead to; empty if it is.
func wrong(f Fault, struck, ko bool, failed []workflow.Span, text string, rescue func(node, macro, instance string, attempt int) bool) string {
	if !struck {
		if ko {
			return "no fault has struck it, and it failed"
		}
		return ""
	}
	if len(failed) == 0 {
		return "its fault has struck, and no micro-step failed"
	}
	first := failed[0]
	if !slices.Contains(seenIn[f.Point], first.Micro) {
		return fmt.Sprintf("the fault was found out in %s, not in %s", first.Micro, strings.Join(seenIn[f.Point], " or "))
	}
	if reason := badReason(f, first.Error); reason != "" {
		return reason
	}
	fatal := f.Kind != Hang || !rescue(first.Node, first.Macro, first.Instance, first.Attempt)
	switch {
	case fatal && !ko:
		return "its fault is fatal, and it is listed ok"
	case !fatal && ko:
		return "it was to be reset and deployed, and it failed"
	case ko:
		return badError(f, failed[len(failed)-1], text)
	}
	return ""
}

// lostWords are what the reason of a node that does not answer may say.
var lostWords = []string{
	"lost the agent", "has not dialled", "previous boot", "did not answer in time", "not reachable", "does not answer", "given up after",
	"imeout", "time limit", "silent", "control link", "no answer", "connection", "EOF", "broken pipe",
}

// badReason says what is wrong with the reason of the first failure.
func badReason(f Fault, reason string) string {
	if f.Kind == Error {
		if !strings.Contains(reason, "rehearsed failure at "+string(f.Point)) {
			return fmt.Sprintf("the reason is not what the node said: %q", reason)
		}
		return ""
	}
	if !slices.ContainsFunc(lostWords, func(w string) bool { return strings.Contains(reason, w) }) {
		return fmt.Sprintf("the reason does not tell that the node was lost: %q", reason)
	}
	return ""
}

// badError says what is wrong with the error that users see: it is that of the last failure.
func badError(f Fault, last workflow.Span, text string) string {
	place := last.Instance + "-" + last.Micro + ": "
	switch {
	case !strings.HasPrefix(text, place):
		return fmt.Sprintf("its error %q does not begin with the place of its last failure, %q", text, place)
	case strings.TrimSpace(strings.TrimPrefix(text, place)) == "":
		return "its error has no reason"
	}
	return ""
}

// Resets tells whether an attempt that follows one of an instance cuts the power of the node or resets it.
func Resets(a *cluster.Automaton, macro, instance string, attempt int) bool {
	list := map[string][]cluster.Instance{
		workflow.SetDeploymentEnv: a.SetDeploymentEnv, workflow.BroadcastEnv: a.BroadcastEnv, workflow.BootNewEnv: a.BootNewEnv,
	}[macro]
	at := slices.IndexFunc(list, func(i cluster.Instance) bool { return workflow.CanonicalInstance(i.Name) == instance })
	for i := max(at, 0); i < len(list); i++ {
		if (i > at || attempt < list[i].Retries) && resetting(list[i].Name) {
			return true
		}
	}
	return false
}

func resetting(instance string) bool {
	for _, way := range []string{"Untrusted", "Nfsroot", "HardReboot", "UntrustedCustomPreInstall"} {
		if strings.HasSuffix(instance, way) {
			return true
		}
	}
	return false
}
