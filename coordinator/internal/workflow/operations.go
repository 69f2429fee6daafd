package workflow

import (
	"cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
)

// CustomOperation is the name under which the engine finds how to do a custom
// operation. In texts an operation has the name of its micro-step and its own.
const CustomOperation = "custom_operation"

// withOperations puts custom operations around a micro-step, or in its place.
// Each is a micro-step of its own. What the site says of a breakpoint stands
// before the first of them, and a barrier behind the last.
func withOperations(m Micro, ops customops.Steps) []Micro {
	if len(ops.Ops()) == 0 {
		return []Micro{m}
	}
	var list []Micro
	add := func(all []customops.Op) {
		for i := range all {
			op := &all[i]
			list = append(list, Micro{
				MicroStep: MicroStep{Name: m.Name + "-" + op.Name}, Op: op, Of: m.Name,
				Limit: op.Timeout, Retries: op.Retries, Raisable: true,
			})
		}
	}
	add(ops.Pre)
	if len(ops.Substitute) > 0 {
		add(ops.Substitute)
	} else {
		list = append(list, m)
	}
	add(ops.Post)
	for i := range list {
		list[i].Breakpoint, list[i].Raisable = false, true
	}
	list[0].Breakpoint, list[len(list)-1].Raisable = m.Breakpoint, m.Raisable
	return list
}

// Operations are the names of steps at which custom operations can be.
func Operations() customops.Known {
	return customops.Known{Macro: knownPlace, Micro: KnownMicro}
}

// knownPlace tells whether name is a macro-step, or an instance of any kind of workflow.
func knownPlace(name string) bool {
	for _, macro := range macros {
		if CanonicalInstance(name) == macro || KnownInstance(macro, name) {
			return true
		}
	}
	for _, kind := range []string{"simple", "set_pxe", "deploy_env", "recorded_env"} {
		if instance, _, ok := rebootSteps(kind, ""); ok && instance == name {
			return true
		}
	}
	for _, instance := range powerInstances {
		if instance == name {
			return true
		}
	}
	return false
}

// OperationFiles are all operations of a request whose files have to be fetched:
// the user's, and those of its clusters' sites.
func (r *Request) OperationFiles() []customops.Op {
	var all []customops.Op
	add := func(ops []customops.Op) {
		for _, op := range ops {
			if op.Action != customops.Exec {
				all = append(all, op)
			}
		}
	}
	add(r.Operations.Ops())
	if r.Kind != Deploy || r.Automaton != nil { // --force-steps has none
		return all
	}
	for _, c := range r.Clusters {
		auto := c.Cluster.Automaton
		for _, list := range [][]cluster.Instance{auto.SetDeploymentEnv, auto.BroadcastEnv, auto.BootNewEnv} {
			for _, in := range list {
				for _, m := range in.Micro {
					add(m.Operations.Ops())
				}
			}
		}
	}
	return all
}

// shown is the micro-step that users know: an operation's own.
func (m Micro) shown() string {
	return cmp.Or(m.Of, m.Name)
}
