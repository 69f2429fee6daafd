package workflow

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/expression"
)

// Plan is all that the nodes of one cluster may go through: macro-steps in
// order, each with its instances in the order in which they are tried.
type Plan struct {
	Macros []Macro
	Ready  []string // nodes that need not go through the first macro-step
}

// Macro is one macro-step.
type Macro struct {
	Name      string
	Instances []Instance
}

// Instance is one way to do a macro-step, without the micro-steps that the request makes useless.
type Instance struct {
	Name       string        // as configured, in the older or the newer vocabulary
	Retries    int           // attempts after the first
	Timeout    time.Duration // 0: none
	Raisable   bool          // false: nodes that are done wait until the others are too
	Breakpoint bool          // nodes stop before it
	Micros     []Micro
	Bypassed   []string // micro-steps that the request makes useless
}

// Micro is one micro-step of an instance, or a custom operation at one.
type Micro struct {
	MicroStep
	Op         *customops.Op // nil: an ordinary micro-step
	Of         string        // the micro-step that the operation belongs to; "": none
	Limit      time.Duration // 0: none
	Expected   time.Duration // what it takes a node, by experience; 0: not known
	Retries    int           // attempts after the first, within one attempt of the instance
	Raisable   bool          // false: no node goes on before all are done with it
	Breakpoint bool          // nodes stop before it
}

// Collective is MicroStep's, for custom operations too: a file is sent to all nodes at once.
func (m Micro) Collective() bool {
	if m.Op != nil {
		return m.Op.Action != customops.Exec
	}
	return m.MicroStep.Collective()
}

// Codes of planning failures (contract 7.3).
const (
	invalidOption = 4
	badAutomaton  = 0
)

// Limits of a reboot where neither the user nor the site gives one (contract 5.3).
const (
	defaultRebootLimit = "120"
	defaultKexecLimit  = "60"
)

// classicalMargin is what a classical boot that replaces a kexec gets on top of
// the reboot limit (contract 4.3).
const classicalMargin = 200 * time.Second

// DefaultAutomaton is what a cluster without a choice of its own gets (contract 4.1).
func DefaultAutomaton() cluster.Automaton {
	instance := func(name string, seconds, retries int) cluster.Instance {
		return cluster.Instance{Name: name, Timeout: time.Duration(seconds) * time.Second, Retries: retries, Raisable: true}
	}
	return cluster.Automaton{
		SetDeploymentEnv: []cluster.Instance{instance("SetDeploymentEnvUntrusted", 200, 2)},
		BroadcastEnv:     []cluster.Instance{instance("BroadcastEnvKascade", 300, 2)},
		BootNewEnv:       []cluster.Instance{instance("BootNewEnvClassical", 150, 0), instance("BootNewEnvHardReboot", 120, 1)},
	}
}

// NewPlan makes the plan of a request for one of its clusters. Errors are *Failure.
func NewPlan(req *Request, part ClusterNodes) (*Plan, error) {
	p := &planner{req: req, cluster: part.Cluster}
	if err := p.limits(len(part.Nodes)); err != nil {
		return nil, err
	}
	var plan *Plan
	var err error
	switch req.Kind {
	case Deploy:
		plan, err = p.deployment()
	case Reboot:
		plan, err = p.reboot()
	case Power:
		plan, err = p.power()
	default:
		err = failure(invalidOption, "unknown kind of workflow %q", req.Kind)
	}
	if err != nil {
		return nil, err
	}
	return plan, plan.setBreakpoint(req.Breakpoint)
}

func failure(code int, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

type planner struct {
	req     *Request
	cluster *cluster.Cluster

	rebootLimit, kexecLimit time.Duration // of wait_reboot
	rebootExtra, kexecExtra time.Duration // what the user gave beyond the site's limit
}

// limits evaluates the reboot time limits for n nodes: the user's, else the cluster's.
func (p *planner) limits(n int) error {
	one := func(option, user, site, fallback string) (limit, extra time.Duration, err error) {
		if site == "" {
			site = fallback
		}
		if limit, err = seconds(site, n); err != nil {
			return 0, 0, failure(badAutomaton, "cluster %s: %v", p.cluster.Name, err)
		}
		if user == "" {
			return limit, 0, nil
		}
		given, err := seconds(user, n)
		if err != nil {
			return 0, 0, failure(invalidOption, "Parameter '%s': %v", option, err)
		}
		return given, max(0, given-limit), nil
	}
	var err error
	if p.rebootLimit, p.rebootExtra, err = one("timeout_reboot_classical", p.req.RebootLimit, p.cluster.Timeouts.Reboot, defaultRebootLimit); err != nil {
		return err
	}
	p.kexecLimit, p.kexecExtra, err = one("timeout_reboot_kexec", p.req.KexecLimit, p.cluster.Timeouts.Kexec, defaultKexecLimit)
	return err
}

// maxLimit is a year: beyond it a limit is a mistake, and time.Duration overflows further on.
const maxLimit = 365 * 24 * 3600

func seconds(text string, n int) (time.Duration, error) {
	v, err := expression.Eval(text, n)
	if err != nil {
		return 0, err
	}
	if v < 1 || v > maxLimit {
		return 0, fmt.Errorf("%q is %v seconds for %d nodes: a limit is between one second and a year", text, v, n)
	}
	return time.Duration(math.Round(v)) * time.Second, nil
}

func (p *planner) deployment() (*Plan, error) {
	if p.req.Env == nil {
		return nil, failure(7, "a deployment needs an environment")
	}
	if err := p.unpackable(); err != nil {
		return nil, err
	}
	automaton := p.cluster.Automaton
	if p.req.Automaton != nil {
		automaton = *p.req.Automaton
	}
	standard := DefaultAutomaton()
	choices := [...][]cluster.Instance{
		orElse(automaton.SetDeploymentEnv, standard.SetDeploymentEnv),
		orElse(automaton.BroadcastEnv, standard.BroadcastEnv),
		orElse(automaton.BootNewEnv, standard.BootNewEnv),
	}
	if p.req.Env.Preinstall != nil {
		// The user's preinstall prepares the disk instead of the site's steps.
		only := choices[0][0]
		only.Name = "SetDeploymentEnvUntrustedCustomPreInstall"
		choices[0] = []cluster.Instance{only}
	}
	plan := &Plan{Ready: p.req.Ready}
	for i, name := range macros {
		m := Macro{Name: name}
		for _, in := range p.withoutKexec(choices[i]) {
			if why := Unknown(name, in.Name); why != "" {
				return nil, failure(invalidOption, "%s", why)
			}
			m.Instances = append(m.Instances, p.instance(in, instances[CanonicalInstance(in.Name)]))
		}
		plan.Macros = append(plan.Macros, m)
	}
	if err := p.req.checkPlace(p.cluster, plan); err != nil {
		return nil, err
	}
	return plan, nil
}

func orElse(chosen, standard []cluster.Instance) []cluster.Instance {
	if len(chosen) == 0 {
		return standard
	}
	return chosen
}

// withoutKexec replaces the instances that kexec by classical ones where kexec is
// refused or cannot work. A replacement that repeats the next instance is dropped.
func (p *planner) withoutKexec(list []cluster.Instance) []cluster.Instance {
	var out []cluster.Instance
	for i, in := range list {
		replacement := ""
		switch CanonicalInstance(in.Name) {
		case "SetDeploymentEnvKexec", "SetDeploymentEnvTrusted":
			if p.kexecRefused() || !allowed(p.req.Env.Options.TrustPreviousEnv) {
				replacement = strings.NewReplacer("Kexec", "Untrusted", "Trusted", "Untrusted").Replace(in.Name)
			}
		case "BootNewEnvKexec":
			if p.kexecRefused() || p.req.Env.OS != "linux" || !p.supported() || p.bootsItself() {
				replacement = "BootNewEnvClassical"
			}
		}
		if replacement == "" {
			out = append(out, in)
			continue
		}
		if i+1 < len(list) && CanonicalInstance(list[i+1].Name) == CanonicalInstance(replacement) {
			continue
		}
		in.Name, in.Retries, in.Timeout = replacement, 0, p.rebootLimit-p.rebootExtra+classicalMargin
		out = append(out, in)
	}
	return out
}

func (p *planner) kexecRefused() bool {
	return p.req.NoKexec || !p.cluster.Kexec || !allowed(p.req.Env.Options.Kexec) || p.req.Env.Boot.Hypervisor != "" // only grub starts a hypervisor
}

// allowed: what a description does not speak of is allowed.
func allowed(option *bool) bool { return option == nil || *option }

func (p *planner) instance(in cluster.Instance, steps []MicroStep) Instance {
	out := Instance{
		Name: in.Name, Retries: in.Retries, Timeout: in.Timeout, Breakpoint: in.Breakpoint,
		Raisable: in.Raisable || p.req.Automaton != nil, // --force-steps cannot say it
	}
	for _, s := range steps {
		if p.useless(CanonicalInstance(in.Name), s) {
			out.Bypassed = append(out.Bypassed, s.Name)
			continue
		}
		m := Micro{MicroStep: s, Raisable: true}
		if s.Name == WaitReboot {
			var extra time.Duration
			m.Limit, extra = p.rebootLimit, p.rebootExtra
			if s.Argument == WaitDeployKexec || s.Argument == WaitUserKexec {
				m.Limit, extra = p.kexecLimit, p.kexecExtra
			}
			if out.Timeout > 0 {
				out.Timeout += extra // else the user's longer limit could not be used
			}
		}
		m.Expected = p.req.Expected[Experience(p.cluster.Name, in.Name, s.Name)]
		var site customops.Steps
		if i := slices.IndexFunc(in.Micro, func(o cluster.MicroOverride) bool { return o.Name == s.Name }); i >= 0 {
			o := in.Micro[i]
			m.Retries, m.Raisable, m.Breakpoint = o.Retries, o.Raisable, o.Breakpoint
			if o.Timeout > 0 {
				m.Limit = o.Timeout
			}
			if o.Expected > 0 {
				m.Expected = o.Expected
			}
			site = o.Operations
		}
		out.Micros = append(out.Micros, withOperations(m, p.req.Operations.At(in.Name, s.Name, site, CanonicalInstance))...)
	}
	return out
}

// single is the plan of a workflow with one macro-step of one instance: a reboot or a power operation.
func (p *planner) single(macro, name string, steps []MicroStep) *Plan {
	in := p.instance(cluster.Instance{Name: name, Raisable: true}, steps)
	return &Plan{Macros: []Macro{{Name: macro, Instances: []Instance{in}}}}
}

func (p *planner) level() (string, error) {
	if p.req.Level < 0 || p.req.Level >= cluster.Levels {
		return "", failure(invalidOption, "unknown level %d: levels are soft, hard and very_hard", p.req.Level)
	}
	return cluster.LevelNames[p.req.Level], nil
}

func (p *planner) reboot() (*Plan, error) {
	level, err := p.level()
	if err != nil {
		return nil, err
	}
	name, steps, ok := rebootSteps(p.req.RebootKind, level)
	if !ok {
		return nil, failure(invalidOption, "unknown kind of reboot %q: simple, set_pxe, deploy_env and recorded_env are known", p.req.RebootKind)
	}
	return p.single("Reboot", name, steps), nil
}

func (p *planner) power() (*Plan, error) {
	name, ok := powerInstances[p.req.PowerAction]
	if !ok {
		return nil, failure(invalidOption, "unknown power operation %q: on, off and status are known", p.req.PowerAction)
	}
	return p.single("Power", name, []MicroStep{{PowerNode, p.req.PowerAction}}), nil
}

// setBreakpoint marks what "macro" or "macro:micro" names; macro is a macro-step
// or an instance, in either vocabulary (contract 4.7).
func (p *Plan) setBreakpoint(text string) error {
	if text == "" {
		return nil
	}
	macro, micro, _ := strings.Cut(text, ":")
	macro, micro = strings.TrimSpace(macro), strings.TrimSpace(micro)
	if micro != "" && !KnownMicro(micro) {
		return failure(invalidOption, "Breakpoint %s: unknown micro-step %s", text, micro)
	}
	found := false
	for mi := range p.Macros {
		m := &p.Macros[mi]
		for ii := range m.Instances {
			in := &m.Instances[ii]
			name := CanonicalInstance(macro)
			if name != m.Name && name != CanonicalInstance(in.Name) {
				continue
			}
			found = true
			if micro == "" {
				in.Breakpoint = true
				continue
			}
			for k := range in.Micros {
				if in.Micros[k].Name == micro || in.Micros[k].Of == micro {
					in.Micros[k].Breakpoint = true
				}
			}
		}
	}
	if !found {
		return failure(invalidOption, "Breakpoint %s: the macro-step %s is not part of the workflow", text, macro)
	}
	return nil
}
