package api

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
)

// createDeployment is POST /deployment.
func (s *server) createDeployment(c *call) (any, error) {
	if c.has("resume") {
		return s.resumeDeployment(c)
	}
	req, err := s.order(c, workflow.Deploy, "D-")
	if err != nil {
		return nil, err
	}
	if !c.has("environment") {
		return nil, apperr.New(apperr.MissingOption, "Parameter 'environment': it is mandatory; give the name of an environment")
	}
	s.readPlace(c, req)
	readAutomaton(c, req)
	req.NoKexec = c.set("disable_kexec")
	req.NoBootloader = c.set("disable_bootloader_install")
	req.NoPartition = c.set("disable_disk_partitioning")
	req.NoPrepare = c.set("no_prepare")
	req.RebootLimit = limit(c, "timeout_reboot_classical", countNodes(req))
	req.KexecLimit = limit(c, "timeout_reboot_kexec", countNodes(req))
	req.Variables = readVariables(c)
	keys := c.text("ssh_authorized_keys")
	if err := s.readProfile(c, req); err != nil {
		return nil, err
	}
	if err := s.readEnvironment(c, req); err != nil {
		return nil, err
	}
	if err := checkTarget(req); err != nil {
		return nil, err
	}
	for _, device := range devices(req) {
		if err := s.permit(c, req, device); err != nil {
			return nil, err
		}
	}
	if err := s.readDoubts(c, req); err != nil {
		return nil, err
	}
	if err := s.readExpected(c, req); err != nil {
		return nil, err
	}
	prepare := s.fetchAll(c, req, keys)
	if c.set("dry_run") && c.set("plan") {
		return s.preview(c, req)
	}
	return s.submit(c, req, prepare)
}

var (
	deviceForm    = regexp.MustCompile(`^[\w/.:-]+$`)
	partitionForm = regexp.MustCompile(`^(disk[0-9]{1,3}/)?[\w-]*$`)
)

// readPlace reads where on the disks the environment goes.
func (s *server) readPlace(c *call, req *workflow.Request) {
	req.BlockDevice = c.text("block_device")
	if req.BlockDevice != "" && !deviceForm.MatchString(req.BlockDevice) {
		c.fail("block_device", "%q is neither a device nor the name of a disk", req.BlockDevice)
	}
	// deploy_part is what Grid'5000's own interface sends.
	req.Partition = cmp.Or(c.text("deploy_partition"), c.text("deploy_part"))
	if !partitionForm.MatchString(req.Partition) {
		c.fail("deploy_partition", "%q is neither a number nor a label", req.Partition)
	}
	if disk, part, both := strings.Cut(req.Partition, "/"); both { // disk1/PROD
		if req.BlockDevice != "" && req.BlockDevice != disk {
			c.fail("deploy_partition", "%q is not on %s, which block_device names", req.Partition, req.BlockDevice)
		}
		req.Partition = part
		if !ownDisk(req, disk) {
			req.BlockDevice = disk
		}
	}
	if c.has("boot_partition") {
		n := c.integer("boot_partition", 0)
		if n < 0 {
			c.fail("boot_partition", "must not be negative")
		}
		req.BootPart = fmt.Sprint(n)
	}
	req.ReformatTmp = c.text("reformat_tmp_partition")
	for _, group := range req.Clusters {
		known := group.Cluster.MiniOS.Filesystems
		if req.ReformatTmp != "" && len(known) > 0 && !slices.Contains(known, req.ReformatTmp) {
			c.fail("reformat_tmp_partition", "cluster %s knows the file systems %s, not %q", group.Cluster.Name, strings.Join(known, ", "), req.ReformatTmp)
		}
	}
}

// readAutomaton reads the instances that replace the configured ones (--force-steps).
func readAutomaton(c *call, req *workflow.Request) {
	c.within("automata", func(in *params) {
		auto := &cluster.Automaton{}
		for name := range in.values {
			switch name {
			case workflow.SetDeploymentEnv, workflow.SetDeploymentMiniOS:
				auto.SetDeploymentEnv = instances(in, name, workflow.SetDeploymentEnv)
			case workflow.BroadcastEnv:
				auto.BroadcastEnv = instances(in, name, name)
			case workflow.BootNewEnv:
				auto.BootNewEnv = instances(in, name, name)
			default:
				in.fail(name, "there is no such macro-step; they are SetDeploymentEnv, BroadcastEnv and BootNewEnv")
			}
		}
		if in.err() == nil && (auto.SetDeploymentEnv == nil || auto.BroadcastEnv == nil || auto.BootNewEnv == nil) {
			c.fail("automata", "all of SetDeploymentEnv, BroadcastEnv and BootNewEnv must be given")
		}
		req.Automaton = auto
	})
}

// What an instance of --force-steps may have at most, as in the configuration: each
// attempt is kept in the journal and in the timeline.
const (
	maxRetries = 1000
	maxTimeout = 365 * 24 * 3600 // s
)

func instances(in *params, name, macro string) []cluster.Instance {
	list, ok := in.values[name].([]any)
	if !ok || len(list) == 0 {
		in.fail(name, "must be a list of {name, retries, timeout}")
		return nil
	}
	var all []cluster.Instance
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			in.fail(name, "must be a list of {name, retries, timeout}")
			return nil
		}
		p := &params{values: m}
		timeout := p.integer("timeout", 0)
		inst := cluster.Instance{
			Name:     workflow.CanonicalInstance(p.text("name")),
			Retries:  p.integer("retries", 0),
			Raisable: true,
		}
		switch {
		case p.err() != nil:
			in.fail(name, "%v", p.err())
		case workflow.Unknown(macro, inst.Name) != "":
			in.fail(name, "%s", workflow.Unknown(macro, inst.Name))
		case inst.Retries < 0 || timeout < 0:
			in.fail(name, "retries and timeout of %s must not be negative", inst.Name)
		case inst.Retries > maxRetries || timeout > maxTimeout:
			in.fail(name, "%s has %d retries and a timeout of %d s: at most %d and %d (a year) are possible", inst.Name, inst.Retries, timeout, maxRetries, maxTimeout)
		}
		inst.Timeout = time.Duration(min(timeout, maxTimeout)) * time.Second
		all = append(all, inst)
	}
	return all
}

func readVariables(c *call) map[string]string {
	vars := c.textMap("custom_variables")
	for key, value := range vars {
		if err := env.CheckVariable(key, value); err != nil {
			c.fail("custom_variables", "%v", err)
		}
	}
	return vars
}

// readEnvironment finds what is to be deployed: a registered environment, or
// the description that the request carries.
func (s *server) readEnvironment(c *call, req *workflow.Request) error {
	if name, ok := c.values["environment"].(string); ok {
		c.values["environment"] = map[string]any{"name": name}
	}
	var err error
	c.within("environment", func(in *params) {
		switch kind := in.oneOf("kind", "database", "database", "anonymous"); {
		case in.err() != nil:
		case kind == "anonymous":
			req.Env, _, err = env.FromMap(in.values)
			req.EnvOwner = c.caller.User
		default:
			err = s.lookUp(c, req, in)
		}
	})
	if c.err() != nil {
		return c.err()
	}
	return err
}

func (s *server) lookUp(c *call, req *workflow.Request, in *params) error {
	q := Query{
		Owner:   in.text("user"),
		Name:    in.text("name"),
		Version: in.integer("version", 0),
		Arch:    in.text("arch"),
	}
	q.Last = q.Version == 0
	if q.Name == "" {
		in.missing("name")
	}
	if in.err() != nil {
		return nil // reported by whoever made in
	}
	found, err := s.Registry.Environments(c.ctx, c.caller, q)
	if err != nil {
		return err
	}
	e := choose(found, c.caller.User, q.Arch, req)
	if e == nil {
		return apperr.New(apperr.InvalidEnvironment, "there is no environment %s that you may use; kaenv3 -l lists them", q)
	}
	req.Env, req.EnvOwner, req.EnvID = &e.Description, e.Owner, e.ID
	return nil
}

// choose takes the caller's own environment before others', and the one for the
// clusters' architecture before others.
func choose(found []Environment, user, arch string, req *workflow.Request) *Environment {
	rank := func(e *Environment) int {
		n := 0
		if e.Owner != user {
			n += 2
		}
		if arch == "" && e.Arch != "" && !fits(e.Arch, req) {
			n++
		}
		return n
	}
	var best *Environment
	for i := range found {
		if e := &found[i]; best == nil || rank(e) < rank(best) {
			best = e
		}
	}
	return best
}

func fits(arch string, req *workflow.Request) bool {
	for _, group := range req.Clusters {
		if cmp.Or(group.Cluster.Arch, "x86_64") != arch {
			return false
		}
	}
	return true
}

// String names what is looked for, in messages.
func (q Query) String() string {
	text := q.Name
	if q.Version != 0 {
		text += fmt.Sprintf(" version %d", q.Version)
	}
	if q.Arch != "" {
		text += " for " + q.Arch
	}
	if q.Owner != "" {
		text += " of user " + q.Owner
	}
	return text
}

// ownDisk tells whether an id is that of every cluster's own disk.
func ownDisk(req *workflow.Request, id string) bool {
	return !slices.ContainsFunc(req.Clusters, func(g workflow.ClusterNodes) bool { return g.Cluster.Partitioning.DiskID != id })
}

// checkTarget checks that the environment can go where it is wanted.
func checkTarget(req *workflow.Request) error {
	if req.Env.Arch != "" && !fits(req.Env.Arch, req) {
		return apperr.New(apperr.InvalidEnvironment, "environment %s is for %s, the nodes are not", req.Env.Name, req.Env.Arch)
	}
	if root, _ := layout.RootOf(req.Env.Options.Layout); req.OwnLayout() && req.Partition != "" && req.Partition != root.Label && req.Partition != strconv.Itoa(root.Number) {
		return apperr.New(apperr.InvalidOption, "environment %s has a layout of its own, in which partition %s (%d) is mounted on /; leave -p out", req.Env.Name, root.Label, root.Number)
	}
	if req.BlockDevice == "" || req.Partition != "" {
		return nil
	}
	// A device without a partition: the whole of it. Files go to the partition that the cluster's scheme has for them.
	if req.Env.Image.Kind == "tar" {
		return nil
	}
	if !req.WholeDisk() {
		return apperr.New(apperr.InvalidOption, "an environment of kind %s needs a partition of %s; choose one with -p", req.Env.Image.Kind, req.BlockDevice)
	}
	if req.BootPart == "" {
		return apperr.New(apperr.MissingOption, "deploying on the whole of %s needs the partition to boot from; choose one with -c (0: the MBR)", req.BlockDevice)
	}
	return nil
}
