package api

import (
	"fmt"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// readExpected notes how long the micro-steps took before that decide until when nodes
// wait for each other: boots of the mini-OS, and broadcasts.
func (s *server) readExpected(c *call, req *workflow.Request) error {
	if s.History == nil {
		return nil
	}
	req.Expected = make(map[string]time.Duration)
	for _, group := range req.Clusters {
		plan, err := workflow.NewPlan(req, group)
		if err != nil {
			return err
		}
		for _, m := range plan.Macros {
			for _, in := range m.Instances {
				for _, micro := range in.Micros {
					if micro.Op != nil || micro.Name != workflow.WaitReboot && micro.Name != workflow.SendEnvironment || m.Name == workflow.BootNewEnv {
						continue
					}
					e, err := s.History.Expected(c.ctx, stats.Passage{
						Cluster: group.Cluster.Name, Env: fmt.Sprintf("%s:%d", req.Env.Name, req.Env.Version), EnvOwner: req.EnvOwner,
						Anonymous: req.EnvID < 0, Instance: in.Name, Micro: micro.Name,
					})
					if err != nil {
						return err
					}
					if e.Operations > 0 {
						req.Expected[workflow.Experience(group.Cluster.Name, in.Name, micro.Name)] = time.Duration(e.Seconds * float64(time.Second))
					}
				}
			}
		}
	}
	return nil
}
