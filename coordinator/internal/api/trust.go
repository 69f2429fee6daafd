package api

import (
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// readDoubts notes of which nodes the records tell that their system is not trusted,
// before the deployment changes those records.
func (s *server) readDoubts(c *call, req *workflow.Request) error {
	req.Doubts = make(map[string]string)
	for _, group := range req.Clusters {
		if group.Cluster.Trusted == nil {
			continue
		}
		infos, err := s.Nodes.NodeInfos(c.ctx, group.Nodes)
		if err != nil {
			return err
		}
		for _, node := range group.Nodes {
			info := infos[node]
			was := cluster.Deployed{State: info.State, User: info.User}
			if e := info.Env; e != nil {
				was.Env, was.EnvOwner, was.Destructive = e.Name, e.Owner, e.Destructive
			}
			if doubt := group.Cluster.Trusted.Doubt(was); doubt != "" {
				req.Doubts[node] = doubt
			}
		}
	}
	return nil
}
