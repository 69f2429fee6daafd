package main

import (
	"context"
	"net/http"

	"kadeploy/coordinator/internal/api"
	"kadeploy/coordinator/internal/auth"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/console"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/rights"
	"kadeploy/coordinator/internal/steps"
	"kadeploy/coordinator/internal/store"
)

// Adapters do not know each other: what follows turns the types of one into those of another.

type authenticator struct {
	auth   *auth.Authenticator
	policy *rights.Policy
}

func (a authenticator) Authenticate(r *http.Request) (api.Caller, error) {
	id, err := a.auth.Authenticate(r)
	if err != nil {
		return api.Caller{}, err
	}
	noteUser(r.Context(), id.User)
	return api.Caller{User: id.User, UID: id.UID, Admin: a.policy.Almighty(id.User)}, nil
}

type consoles struct{ *console.Service }

func (consoles) Has(c *cluster.Cluster, node string) bool { return console.Has(c, node) }

func (c consoles) Open(o api.ConsoleOrder) (api.ConsoleView, error) {
	v, err := c.Service.Open(console.Order(o))
	return api.ConsoleView(v), err
}

func (c consoles) Console(id string) (api.ConsoleView, bool) {
	v, ok := c.Service.Console(id)
	return api.ConsoleView(v), ok
}

func (c consoles) Consoles() []api.ConsoleView {
	var all []api.ConsoleView
	for _, v := range c.Service.Consoles() {
		all = append(all, api.ConsoleView(v))
	}
	return all
}

type registry struct{ *store.Registry }

func (r registry) Environments(ctx context.Context, caller api.Caller, q api.Query) ([]api.Environment, error) {
	list, err := r.Registry.Environments(ctx, store.Caller(caller), store.EnvironmentQuery(q))
	out := make([]api.Environment, len(list))
	for i, e := range list {
		out[i] = api.Environment(e)
	}
	return out, err
}

func (r registry) AddEnvironment(ctx context.Context, caller api.Caller, owner string, d env.Description) (api.Environment, error) {
	e, err := r.Registry.AddEnvironment(ctx, store.Caller(caller), owner, d)
	return api.Environment(e), err
}

func (r registry) UpdateEnvironment(ctx context.Context, caller api.Caller, id int64, change func(d *env.Description) error) (api.Environment, error) {
	e, err := r.Registry.UpdateEnvironment(ctx, store.Caller(caller), id, change)
	return api.Environment(e), err
}

func (r registry) RemoveEnvironments(ctx context.Context, caller api.Caller, ids []int64) error {
	return r.Registry.RemoveEnvironments(ctx, store.Caller(caller), ids)
}

type nodeInfos struct{ store *store.Store }

func (n nodeInfos) NodeInfos(ctx context.Context, nodes []string) (map[string]api.NodeInfo, error) {
	infos, err := n.store.Nodes(ctx, nodes)
	out := make(map[string]api.NodeInfo, len(infos))
	for name, info := range infos {
		one := api.NodeInfo{State: info.State, User: info.User}
		if info.Env != nil {
			e := api.Environment(*info.Env)
			one.Env = &e
		}
		out[name] = one
	}
	return out, err
}

// boots keeps for the steps in which boot nodes were.
type boots struct{ *store.Store }

func (b boots) LeftBoot(ctx context.Context, node string) (steps.LeftBoot, error) {
	left, err := b.Store.LeftBoot(ctx, node)
	return steps.LeftBoot(left), err
}

type permissions struct{ policy *rights.Policy }

func (p permissions) MayUse(ctx context.Context, user string, nodes []string, partition ...string) ([]string, error) {
	return p.policy.Refused(ctx, user, nodes, partition...)
}

type rightsTable struct {
	store  *store.Store
	admins []string
}

func (t rightsTable) ListRights(ctx context.Context, user, node string) ([]api.Right, error) {
	list, err := t.store.ListRights(ctx, user, node)
	out := make([]api.Right, len(list))
	for i, r := range list {
		out[i] = api.Right(r)
	}
	return out, err
}

func (t rightsTable) GrantRights(ctx context.Context, rights []api.Right, overwrite bool) error {
	return t.store.GrantRights(ctx, toStore(rights), t.admins, overwrite)
}

func (t rightsTable) RevokeRights(ctx context.Context, rights []api.Right) error {
	return t.store.RevokeRights(ctx, toStore(rights))
}

func toStore(rights []api.Right) []store.Right {
	out := make([]store.Right, len(rights))
	for i, r := range rights {
		out[i] = store.Right(r)
	}
	return out
}
