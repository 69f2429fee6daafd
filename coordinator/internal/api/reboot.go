package api

import (
	"slices"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// createReboot is POST /reboot.
func (s *server) createReboot(c *call) (any, error) {
	req, err := s.order(c, workflow.Reboot, "R-")
	if err != nil {
		return nil, err
	}
	req.RebootKind = c.oneOf("kind", "simple", "simple", "set_pxe", "deploy_env", "recorded_env")
	req.Level = readLevel(c)
	req.RebootLimit = limit(c, "timeout_reboot_classical", countNodes(req))
	s.readPlace(c, req)
	keys := c.text("ssh_authorized_keys")
	if err := s.readProfile(c, req); err != nil {
		return nil, err
	}
	if keys != "" && req.RebootKind != "deploy_env" {
		return nil, apperr.New(apperr.ConflictingOptions, "keys can be given to the nodes only with the kind deploy_env, not %s", req.RebootKind)
	}
	if err := s.readRecorded(c, req); err != nil {
		return nil, err
	}
	if err := s.permit(c, req, nodesOnly); err != nil {
		return nil, err
	}
	if c.set("check_destructive") && req.RebootKind == "recorded_env" {
		if err := s.refuseDestructive(c, req); err != nil {
			return nil, err
		}
	}
	return s.submit(c, req, s.fetchOthers(c, req, keys))
}

func readLevel(c *call) int {
	return slices.Index(cluster.LevelNames[:], c.oneOf("level", cluster.LevelNames[cluster.LevelSoft], cluster.LevelNames[:]...))
}

// readRecorded reads which environment is on the partition to reboot on.
func (s *server) readRecorded(c *call, req *workflow.Request) error {
	recorded := req.RebootKind == "recorded_env"
	switch {
	case recorded && !c.has("environment"):
		return apperr.New(apperr.MissingOption, "a reboot of kind recorded_env needs the name of the environment; give it with -e")
	case recorded && req.Partition == "":
		return apperr.New(apperr.MissingOption, "a reboot of kind recorded_env needs the partition that the environment is on; give it with -p")
	case !recorded && c.has("environment"):
		return apperr.New(apperr.ConflictingOptions, "only a reboot of kind recorded_env takes an environment")
	case recorded:
		return s.readEnvironment(c, req)
	}
	return nil
}

// refuseDestructive refuses nodes whose last environment asked not to be trusted again.
func (s *server) refuseDestructive(c *call, req *workflow.Request) error {
	for _, group := range req.Clusters {
		infos, err := s.Nodes.NodeInfos(c.ctx, group.Nodes)
		if err != nil {
			return err
		}
		for _, node := range group.Nodes {
			if e := infos[node].Env; e != nil && e.Destructive {
				return apperr.New(apperr.DestructiveEnvironment, "%s runs %s of %s, which is destructive; deploy the node instead", node, e.Name, e.Owner)
			}
		}
	}
	return nil
}

// createPower is PUT /power.
func (s *server) createPower(c *call) (any, error) {
	action := c.oneOf("status", "", "on", "off")
	if action == "" && c.err() == nil {
		c.missing("status")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return s.power(c, action)
}

// powerStatus is GET /power: with nodes it asks for their status, which is a
// workflow; without, it lists the power workflows.
func (s *server) powerStatus(c *call) (any, error) {
	if !c.has("nodes") {
		return s.listWorkflows(workflow.Power)(c)
	}
	return s.power(c, "status")
}

func (s *server) power(c *call, action string) (any, error) {
	req, err := s.order(c, workflow.Power, "P-")
	if err != nil {
		return nil, err
	}
	req.PowerAction = action
	if action != "status" {
		req.Level = readLevel(c)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.permit(c, req, nodesOnly); err != nil {
		return nil, err
	}
	return s.submit(c, req, s.fetchOthers(c, req, ""))
}
