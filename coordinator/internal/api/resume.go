package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// Past knows the workflows of the last days.
type Past interface {
	// Find gives an operation that runs or is over; ok is false if none is kept.
	Find(ctx context.Context, id string) (w workflow.Interrupted, ok bool, err error)
	// Standing lists those of the nodes that nobody has operated on since the workflow, and
	// whose agent has a session out of a boot that began before the time given for the node.
	Standing(ctx context.Context, id string, before map[string]time.Time) ([]string, error)
}

// takenOver are the parameters that a resumed deployment has from the one before.
var takenOver = []string{
	"environment", "block_device", "deploy_partition", "deploy_part", "boot_partition", "reformat_tmp_partition", "vlan",
	"disable_kexec", "disable_bootloader_install", "disable_disk_partitioning", "no_prepare", "timeout_reboot_classical",
	"timeout_reboot_kexec", "automata", "custom_operations", "custom_variables", "ssh_authorized_keys", "breakpoint", "pxe",
}

// resumeDeployment is POST /deployment with resume: it does again what a deployment that
// is over did not bring to its end.
func (s *server) resumeDeployment(c *call) (any, error) {
	old, err := s.past(c)
	if err != nil {
		return nil, err
	}
	req, err := s.again(c, old)
	if err != nil {
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
	prepare := s.fetchAll(c, req, req.KeysFrom)
	if c.err() != nil {
		return nil, c.err()
	}
	if c.set("dry_run") && c.set("plan") {
		return s.preview(c, req)
	}
	if err := lentAnew(c, req); err != nil {
		return nil, err
	}
	return s.submit(c, req, func(ctx context.Context, note func(level int, text string)) (engine.Rest, error) {
		note(noteLevel, resumedText(req))
		return prepare(ctx, note)
	})
}

// past is the deployment that the caller wants to resume.
func (s *server) past(c *call) (workflow.Interrupted, error) {
	id := c.text("resume")
	if err := c.err(); err != nil {
		return workflow.Interrupted{}, err
	}
	for _, name := range takenOver {
		if c.has(name) {
			return workflow.Interrupted{}, apperr.New(apperr.ConflictingOptions, "Parameter '%s': it is taken over from %s; leave it out", name, id)
		}
	}
	if s.Past == nil {
		return workflow.Interrupted{}, apperr.New(apperr.InvalidOption, "Parameter 'resume': this server keeps no deployments that could be resumed")
	}
	old, ok, err := s.Past.Find(c.ctx, id)
	switch {
	case err != nil:
		return old, err
	case !ok || old.Request.Kind != workflow.Deploy:
		return old, apperr.New(apperr.InvalidWorkflowID, "there is no deployment %q, or it ended more than 7 days ago; deploy its nodes anew", id)
	case !c.caller.Admin && c.caller.User != old.Request.User:
		return old, apperr.Forbidden("%s belongs to user %s", id, old.Request.User)
	case !old.Ended:
		return old, apperr.New(apperr.ConflictingOptions, "%s is not over yet: wait for its end, or cancel it", id)
	}
	return old, nil
}

// again makes the request for what is left to do.
func (s *server) again(c *call, old workflow.Interrupted) (*workflow.Request, error) {
	id := old.Request.ID
	left, err := workflow.UnfinishedNodes(old)
	if err != nil {
		return nil, apperr.New(apperr.InvalidWorkflowID, "it cannot be told any more which nodes of %s failed: %w; deploy them anew", id, err)
	}
	if len(left) == 0 {
		return nil, apperr.New(apperr.NothingModified, "no node of %s failed: there is nothing to resume", id)
	}
	if left, err = s.narrow(c, id, left); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range left {
		names = append(names, n.Node)
	}
	hosts, err := s.resolver.ResolveAll(names)
	if err != nil {
		return nil, err
	}
	req := old.Request.Again(s.NewID("D-"), c.caller.User, s.Now(), s.byCluster(hosts))
	req.Force = c.set("force")
	req.Hook = req.Hook || c.set("hook")
	req.Debug = req.Debug || c.set("debug")
	if req.Verbosity = c.integer("verbose_level", req.Verbosity); req.Verbosity < 0 || req.Verbosity > 5 {
		c.fail("verbose_level", "%d is not between 0 and 5", req.Verbosity)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if req.VLAN != "" {
		if s.VLANs == nil {
			return nil, apperr.New(apperr.InvalidVLAN, "%s put its nodes in VLAN %s, and this site has no VLANs any more", id, req.VLAN)
		}
		if req.VLANAddrs, err = s.VLANs.Addresses(c.ctx, hosts, req.VLAN); err != nil {
			return nil, err
		}
	}
	req.Ready, err = s.ready(c, id, left, req)
	return req, err
}

// narrow keeps the nodes that the caller names, all if he names none.
func (s *server) narrow(c *call, id string, left []workflow.Unfinished) ([]workflow.Unfinished, error) {
	names := c.list("nodes")
	if err := c.err(); err != nil || len(names) == 0 {
		return left, err
	}
	hosts, err := s.resolver.ResolveAll(names)
	if err != nil {
		return nil, err
	}
	var some []workflow.Unfinished
	for _, n := range left {
		if i := slices.Index(hosts, n.Node); i >= 0 {
			some, hosts = append(some, n), slices.Delete(hosts, i, i+1)
		}
	}
	if len(hosts) > 0 {
		return nil, apperr.New(apperr.InvalidNodelist, "%s did not fail in %s; leave it out", nodeset.Fold(hosts), id)
	}
	return some, nil
}

// ready lists the nodes that are as SetDeploymentEnv left them.
func (s *server) ready(c *call, id string, left []workflow.Unfinished, req *workflow.Request) ([]string, error) {
	before := make(map[string]time.Time)
	for _, n := range left {
		for _, part := range req.Clusters {
			if !n.Prepared.IsZero() && slices.Contains(part.Nodes, n.Node) && workflow.SameCluster(n.Cluster, part.Cluster) {
				before[n.Node] = n.Prepared
			}
		}
	}
	if len(before) == 0 {
		return nil, nil
	}
	return s.Past.Standing(c.ctx, id, before)
}

// lentAnew checks that files of the client's host are there again, if the deployment has any.
func lentAnew(c *call, req *workflow.Request) error {
	if c.has("client") || c.set("dry_run") {
		return nil
	}
	for _, uri := range req.URIs() {
		if strings.HasPrefix(uri, "local://") || !strings.Contains(uri, "://") {
			return apperr.New(apperr.InvalidClient, "%s had the file %s of its client's host: resume it there, so that it is lent again (parameter 'client'), or deploy the nodes anew", req.Resumes, uri)
		}
	}
	return nil
}

// resumedText says where the nodes begin.
func resumedText(req *workflow.Request) string {
	text := fmt.Sprintf("Resuming %s", req.Resumes)
	if len(req.Ready) > 0 {
		text += fmt.Sprintf(": still in the mini-OS, and beginning with %[2]s: %[1]s", nodeset.Fold(req.Ready), workflow.BroadcastEnv)
	}
	return text
}
