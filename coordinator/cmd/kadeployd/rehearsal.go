package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/power"
	"kadeploy/coordinator/internal/rehearse"
	"kadeploy/coordinator/internal/workflow"
)

// rehearsal is one run.
type rehearsal struct {
	*rehearsalOptions
	cfg      *config.Config
	places   rehearse.Places
	names    []string
	faults   map[string]rehearse.Fault
	machines *rehearse.Machines
	journal  *watchedJournal
	own      bool // the site is the rehearsal's
	report   *rehearsalReport
}

// simulated lets package power reach the machines of a rehearsal.
type simulated struct{ *rehearse.Machines }

func (s simulated) Act(ctx context.Context, op power.Op, _ int, nodes []string) (string, error) {
	return s.Machines.Act(ctx, string(op), nodes)
}

// Run takes the place of the site's own broadcast: the machines have the image.
func (r *rehearsal) Run(ctx context.Context, _ string) (stdout, stderr string, err error) {
	stdout, err = r.machines.Act(ctx, rehearse.GiveImage, r.names)
	return stdout, "", err
}

// rehearse does all of it; the error is of what kept it from being rehearsed.
func (o *rehearsalOptions) rehearse(ctx context.Context, config string) (_ *rehearsalReport, err error) {
	r := &rehearsal{rehearsalOptions: o, report: newRehearsalReport(o)}
	remove, err := r.prepare(config)
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return nil, err
	}
	if err := r.startMachines(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.machines.Close()) }()
	if err := r.withDaemon(ctx, r.deploy); err != nil {
		return nil, err
	}
	return r.report, nil
}

// prepare makes the configuration and the rehearsal's directory, which remove removes.
func (r *rehearsal) prepare(dir string) (remove func() error, err error) {
	remove = func() error { return nil }
	if dir != "" {
		if r.cfg, err = config.Load(dir); err != nil {
			return remove, err
		}
	}
	scratch := r.dir
	if scratch == "" {
		if scratch, err = os.MkdirTemp("", "rehearsal-"); err != nil {
			return remove, err
		}
		remove = func() error { return os.RemoveAll(scratch) }
	} else if list, err := os.ReadDir(scratch); err == nil && len(list) > 0 {
		return remove, fmt.Errorf("%s is not empty: name another directory, or remove it", scratch)
	}
	if r.places, err = rehearse.NewPlaces(scratch); err != nil {
		return remove, err
	}
	if err := r.configure(); err != nil {
		return remove, err
	}
	for _, c := range r.cfg.Site.Clusters {
		for _, n := range c.Nodes {
			r.names = append(r.names, n.Name)
		}
	}
	r.faults = rehearse.Faults(r.names, rehearse.Rates{Fail: float64(r.fail), Slow: float64(r.slow), Hang: float64(r.hang)}, r.seed, r.comesTo)
	return remove, r.places.WriteImage(int64(r.image), r.seed)
}

func (r *rehearsal) configure() error {
	who, err := user.Current()
	if err != nil {
		return err
	}
	if r.own = r.cfg == nil; r.own {
		if err := r.ownSite(); err != nil {
			return err
		}
	} else {
		var names []string
		if r.clusters != "" {
			names = strings.Split(r.clusters, ",")
		}
		if err := rehearse.Choose(r.cfg, r.nodes, names); err != nil {
			return err
		}
	}
	return r.places.Isolate(r.cfg, who.Username)
}

// Limits of the rehearsal's own site, in seconds: a thousand machines that boot at once
// on two cores need more than one.
func limitsFor(nodes int, boot time.Duration) rehearse.Limits {
	l := rehearse.Limits{Boot: 6 + nodes/50 + int(4*boot.Seconds())}
	l.Total = 10*l.Boot + 60
	return l
}

const mostNodes = 60000

func (r *rehearsal) ownSite() (err error) {
	nodes, clusters := r.nodes, 1
	if nodes == 0 {
		nodes = 1000
	}
	if r.clusters != "" {
		if clusters, err = strconv.Atoi(r.clusters); err != nil {
			return fmt.Errorf("--clusters %q: give a number, or name a site with --config", r.clusters)
		}
	}
	if nodes < 1 || nodes > mostNodes || clusters < 1 || clusters > nodes {
		return fmt.Errorf("%d nodes in %d clusters: give 1 to %d nodes, and not more clusters than nodes", nodes, clusters, mostNodes)
	}
	r.cfg, err = r.places.Site(nodes, clusters, limitsFor(nodes, r.bootDelay+r.diskDelay))
	return err
}

// comesTo tells whether a deployment of the first cluster's automaton comes to a point.
func (r *rehearsal) comesTo(p rehearse.Point) bool {
	kexec := strings.HasSuffix(r.cfg.Site.Clusters[0].Automaton.BootNewEnv[0].Name, "Kexec")
	switch p {
	case rehearse.AtKexec:
		return kexec
	case rehearse.AtReboot:
		return strings.HasSuffix(r.cfg.Site.Clusters[0].Automaton.BootNewEnv[0].Name, "Classical")
	}
	return true
}

func (r *rehearsal) startMachines(ctx context.Context) error {
	processes, err := rehearse.Spread(len(r.names))
	if err != nil {
		return err
	}
	log, err := os.Create(r.places.Chaos)
	if err != nil {
		return err
	}
	defer log.Close()
	command, err := machines(log)
	if err != nil {
		return err
	}
	server := &r.cfg.Server
	base := rehearse.Spec{
		BootURL: fmt.Sprintf("http://%s:%d", server.Boot.Address.Addr(), server.Boot.HTTPPort),
		SSH:     server.Ports.SSH, Mark: server.Ports.MiniOS, Image: r.places.Image, Seed: r.seed,
		Delays: rehearse.Delays{Boot: r.bootDelay, Disk: r.diskDelay, Slow: slowness},
	}
	var all []rehearse.MachineSpec
	for _, c := range r.cfg.Site.Clusters {
		for _, n := range c.Nodes {
			all = append(all, rehearse.MachineSpec{Name: n.Name, Address: n.Address.String(), Fault: r.faults[n.Name]})
		}
	}
	var specs []rehearse.Spec
	for part := range slices.Chunk(all, (len(all)+processes-1)/processes) {
		base.Machines = part
		specs = append(specs, base)
	}
	r.machines, err = rehearse.Start(ctx, specs, command)
	return err
}

// slowness is what a slow machine needs longer for each thing.
const slowness = 300 * time.Millisecond

// withDaemon runs the coordinator while do works with it.
func (r *rehearsal) withDaemon(ctx context.Context, do func(ctx context.Context) error) error {
	file, err := os.Create(r.places.Log)
	if err != nil {
		return err
	}
	defer file.Close()
	level := slog.LevelInfo
	if r.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: level}))
	daemonCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	world := outside{machines: simulated{r.machines}, site: r, journal: func(j engine.Journal) engine.Journal {
		r.journal = &watchedJournal{Journal: j}
		return r.journal
	}}
	go func() { ended <- runIn(daemonCtx, world, r.cfg, log, nil, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		return fmt.Errorf("start the coordinator: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case err = <-done:
		stop()
		return errors.Join(err, <-ended)
	case err := <-ended:
		return errors.Join(errors.New("the coordinator has ended"), err)
	}
}

// deploy orders a deployment as a user does, follows it, and judges.
func (r *rehearsal) deploy(ctx context.Context) error {
	c := client.New(client.Server{Name: "rehearsal", Socket: r.places.Socket}, client.Options{})
	defer c.Close()
	began := time.Now()
	var op client.Operation
	err := c.Post(ctx, "/deployment", map[string]any{
		"nodes": r.names, "hook": false, "ssh_authorized_keys": "server://" + r.places.Keys,
		"environment": map[string]any{
			"kind": "anonymous", "name": "rehearsal", "version": 1, "os": "linux", "filesystem": "ext4",
			"image": map[string]any{"file": "server://" + r.places.Image, "kind": "tar", "compression": "gzip"},
			"boot":  map[string]any{"kernel": "/vmlinuz", "initrd": "/initrd.img"},
		},
	}, &op)
	if err != nil {
		return fmt.Errorf("order the deployment: %w", err)
	}
	watcher := newRehearsalWatcher(os.Stderr, r.verbose, len(r.names))
	result, err := c.Follow(ctx, op, watcher, nil)
	if err != nil {
		return fmt.Errorf("%w%s", err, watcher.last())
	}
	r.report.Seconds = time.Since(began).Seconds()
	r.report.resources(r.journal)
	return r.judge(ctx, c, op, result)
}

func (r *rehearsal) judge(ctx context.Context, c *client.Client, op client.Operation, result *client.Result) error {
	o := rehearse.Observed{Errors: make(map[string]string), Strikes: r.machines.Strikes(), Whole: r.own}
	for _, n := range result.OK {
		o.OK = append(o.OK, n.Name)
	}
	for _, n := range result.KO {
		o.KO = append(o.KO, n.Name)
		o.Errors[n.Name] = n.Error
	}
	var err error
	if o.Spans, err = c.Timeline(ctx, op); err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	var infos map[string]struct {
		State string `json:"state"`
	}
	if err := c.Get(ctx, "/nodes", nil, &infos); err != nil {
		return fmt.Errorf("states of the nodes: %w", err)
	}
	for _, name := range r.names {
		if strings.HasSuffix(infos[name].State, "ing") {
			o.Locked = append(o.Locked, name)
		}
	}
	r.report.conclude(r.names, r.faults, o, rehearse.Judge(r.names, r.faults, o, r.rescues))
	return nil
}

// rescues tells whether a node that hangs in an attempt of an instance is reset by what follows in that macro-step.
func (r *rehearsal) rescues(node, macro, instance string, attempt int) bool {
	for _, c := range r.cfg.Site.Clusters {
		for _, n := range c.Nodes {
			if n.Name == node {
				return rehearse.Resets(&c.Automaton, workflow.CanonicalInstance(macro), workflow.CanonicalInstance(instance), attempt)
			}
		}
	}
	return false
}
