package engine

import (
	"context"
	"strconv"
	"strings"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// busyState is the nodes' state in the store while the workflow runs; empty if
// it does not concern them (contract 4.10): asking for the power status changes nothing.
func (f *flow) busyState() string {
	switch f.req.Kind {
	case workflow.Deploy:
		return "deploying"
	case workflow.Reboot:
		return "rebooting"
	case workflow.Power:
		if f.req.PowerAction == "status" {
			return ""
		}
		return "powering"
	}
	return ""
}

// finalState is the state in the store of a node with a verdict.
func (f *flow) finalState(p *part, v workflow.Verdict) string {
	if v == workflow.VerdictAborted {
		return "aborted"
	}
	switch f.req.Kind {
	case workflow.Deploy:
		return pick(v, "deployed", "deploy_failed")
	case workflow.Reboot:
		return pick(v, f.rebootedState(p), "reboot_failed")
	default:
		return pick(v, "powered", "power_failed")
	}
}

func pick(v workflow.Verdict, good, bad string) string {
	if v.Success() {
		return good
	}
	return bad
}

func (f *flow) rebootedState(p *part) string {
	switch f.req.RebootKind {
	case "deploy_env":
		return "deploy_env"
	case "recorded_env":
		prod := p.cluster.Partitioning.Prod
		if prod >= 0 && (f.req.Partition == strconv.Itoa(prod) || strings.EqualFold(f.req.Partition, "PROD")) {
			return "prod_env"
		}
		return "recorded_env"
	}
	return "rebooted"
}

func (f *flow) update(state string) workflow.NodeUpdate {
	u := workflow.NodeUpdate{Workflow: f.req.ID, State: state, User: f.req.User, At: time.Now()}
	if f.req.Env != nil && (f.req.Kind == workflow.Deploy || state == "recorded_env" || state == "prod_env") {
		u.Env = &workflow.EnvRef{ID: f.req.EnvID, Name: f.req.Env.Name, Version: f.req.Env.Version, User: f.req.EnvOwner}
	}
	return u
}

// settle writes the states of nodes that got their verdict. What cannot be
// written is tried again at the end.
func (f *flow) settle(p *part, notices []workflow.Notice) {
	if !f.claimed {
		return
	}
	byState := make(map[string][]string)
	for _, n := range notices {
		if j, ok := n.(workflow.Judged); ok && j.Verdict != workflow.VerdictRefused {
			state := f.finalState(p, j.Verdict)
			byState[state] = append(byState[state], j.Nodes...)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	for state, nodes := range byState {
		u := f.update(state)
		if err := f.engine.cfg.States.Settle(ctx, nodes, u); err != nil {
			f.logger.Error("write the state of nodes", "nodes", nodes, "state", state, "error", err)
			p.unsettled = append(p.unsettled, unsettled{nodes, u})
		}
	}
}

// unsettled is a state that could not be written.
type unsettled struct {
	nodes  []string
	update workflow.NodeUpdate
}

func (f *flow) settleRest(ctx context.Context) {
	for _, p := range f.parts {
		for _, u := range p.unsettled {
			if err := f.engine.cfg.States.Settle(ctx, u.nodes, u.update); err != nil {
				f.logger.Error("write the state of nodes; they are taken for busy until the purge time is over", "nodes", u.nodes, "state", u.update.State, "error", err)
			}
		}
		p.unsettled = nil
	}
}
