package config

import (
	"fmt"
	"strings"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/expression"
	"kadeploy/coordinator/internal/tree"
	"kadeploy/coordinator/internal/workflow"
)

// automaton reads the instances of each macro-step. A macro-step that is not
// given has the default ones.
func automaton(f *file, n *tree.Node) cluster.Automaton {
	a := workflow.DefaultAutomaton()
	for _, macro := range []struct {
		names []string
		into  *[]cluster.Instance
	}{
		{[]string{workflow.SetDeploymentEnv, workflow.SetDeploymentMiniOS}, &a.SetDeploymentEnv},
		{[]string{workflow.BroadcastEnv}, &a.BroadcastEnv},
		{[]string{workflow.BootNewEnv}, &a.BootNewEnv},
	} {
		var given []cluster.Instance
		for _, name := range macro.names {
			for _, item := range n.Get(name).Items() {
				given = append(given, instance(f, item, name))
			}
		}
		if given != nil {
			*macro.into = given
		}
	}
	return a
}

func instance(f *file, n *tree.Node, macro string) cluster.Instance {
	i := cluster.Instance{
		Name:       n.Get("type").Must().String(""),
		Retries:    between(n.Get("retries"), 0, 0, 1000),
		Timeout:    seconds(n.Get("timeout"), 0),
		Raisable:   n.Get("raisable").Bool(true),
		Breakpoint: n.Get("breakpoint").Bool(false),
	}
	if i.Name != "" && !strings.HasPrefix(i.Name, macro) {
		i.Name = macro + i.Name
	}
	if why := workflow.Unknown(macro, i.Name); i.Name != "" && why != "" {
		n.Get("type").Fail("%s", strings.ToUpper(why[:1])+why[1:])
	}
	for _, m := range n.Get("microsteps").Items() {
		i.Micro = append(i.Micro, micro(f, m))
	}
	return i
}

func micro(f *file, n *tree.Node) cluster.MicroOverride {
	m := cluster.MicroOverride{
		Name:       n.Get("name").Must().String(""),
		Timeout:    seconds(n.Get("timeout"), 0),
		Expected:   seconds(n.Get("expected"), 0),
		Retries:    between(n.Get("retries"), 0, 0, 1000),
		Raisable:   n.Get("raisable").Bool(true),
		Breakpoint: n.Get("breakpoint").Bool(false),
	}
	if m.Name != "" && !workflow.KnownMicro(m.Name) {
		n.Get("name").Fail("There is no micro-step '%s'", m.Name)
	}
	m.Operations = operations(f, n)
	return m
}

// operations reads the site's own operations at a micro-step. Their files are of
// this host, or behind a URL.
func operations(f *file, n *tree.Node) customops.Steps {
	list := func(key string) (ops []customops.Op) {
		for i, item := range n.Get(key).Items() {
			op := customops.Op{
				Site:        true,
				Name:        item.Get("name").String(""),
				Action:      item.Get("action").Must().Choice("", customops.Send, customops.Exec, customops.Run),
				Destination: item.Get("destination").String(""),
				Command:     item.Get("command").String(""),
				Params:      item.Get("params").String(""),
				Scattering:  item.Get("scattering").String(""),
				Timeout:     seconds(item.Get("timeout"), 0),
				Retries:     between(item.Get("retries"), 0, 0, 1000),
				File:        f.l.operationFile(item.Get("file")),
			}
			if op.Action != "" {
				if err := op.Complete(i); err != nil {
					item.Get(err.Path).Fail("%s", err.Reason)
				}
			}
			ops = append(ops, op)
		}
		return ops
	}
	return customops.Steps{Pre: list("pre-ops"), Substitute: list("substitute"), Post: list("post-ops")}
}

func (l *loader) operationFile(n *tree.Node) string {
	if uri := n.String(""); strings.Contains(uri, "://") {
		return uri
	}
	if path := l.existing(n); path != "" {
		return "server://" + path
	}
	return ""
}

// timeouts reads the limits of a boot, which are numbers or expressions in n. For
// one node they must not exceed the time that the instances which boot so have.
func timeouts(n *tree.Node, a cluster.Automaton) cluster.Timeouts {
	t := cluster.Timeouts{
		Reboot: n.Get("reboot").Text("120"),
		Kexec:  n.Get("kexec").Text("60"),
	}
	checkTimeout(n.Get("reboot"), t.Reboot, a, "Untrusted", "Nfsroot", "Classical", "HardReboot")
	checkTimeout(n.Get("kexec"), t.Kexec, a, "Kexec", "Trusted")
	return t
}

func checkTimeout(n *tree.Node, text string, a cluster.Automaton, kinds ...string) {
	v, err := expression.Eval(text, 1)
	if err != nil {
		n.Fail("Invalid value: %v", err)
		return
	}
	if v <= 0 {
		n.Fail("Invalid value '%s', for one node it must be more than 0 seconds", text)
	}
	limit := time.Duration(v * float64(time.Second))
	for _, list := range [][]cluster.Instance{a.SetDeploymentEnv, a.BootNewEnv} {
		for _, i := range list {
			if i.Timeout > 0 && limit > i.Timeout && bootsAs(i.Name, kinds) {
				n.Fail("%s: longer than the %s of %s, which waits for that boot; shorten it, or raise automata/macrosteps", inSeconds(limit), inSeconds(i.Timeout), i.Name)
			}
		}
	}
}

func bootsAs(instance string, kinds []string) bool {
	instance = workflow.CanonicalInstance(instance)
	for _, kind := range kinds {
		if instance == workflow.SetDeploymentEnv+kind || instance == workflow.BootNewEnv+kind {
			return true
		}
	}
	return false
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }
