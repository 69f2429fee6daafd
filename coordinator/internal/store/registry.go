package store

import (
	"cmp"
	"context"
	"slices"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/env"
)

// Caller is on whose behalf the registry is used.
type Caller struct {
	User  string
	UID   int // of a local user; -1 for others
	Admin bool
}

// Registry applies the rules of ownership (contract 3) to the environments of a
// store. What they refuse is an apperr.Refusal.
type Registry struct {
	store  *Store
	admins []string
}

// Registry is the store's registry; admins are who may own public environments.
func (s *Store) Registry(admins []string) *Registry { return &Registry{s, slices.Clone(admins)} }

// Environments lists what the caller may see.
func (r *Registry) Environments(ctx context.Context, caller Caller, q EnvironmentQuery) ([]Environment, error) {
	return r.store.Environments(ctx, Viewer{caller.User, caller.Admin}, q)
}

// AddEnvironment registers an environment for owner ("": the caller). Only an
// administrator may do it for somebody else. Of several callers who add the same
// at the same time one succeeds; the others get the code EXISTING_ELEMENT.
func (r *Registry) AddEnvironment(ctx context.Context, caller Caller, owner string, d env.Description) (Environment, error) {
	owner = cmp.Or(owner, caller.User)
	if err := owned(caller, owner); err != nil {
		return Environment{}, err
	}
	if err := r.publishable(owner, &d); err != nil {
		return Environment{}, err
	}
	if err := d.Validate(); err != nil {
		return Environment{}, err
	}
	return r.store.AddEnvironment(ctx, owner, d)
}

// UpdateEnvironment lets change edit the description of one environment, as
// Store.UpdateEnvironment does.
func (r *Registry) UpdateEnvironment(ctx context.Context, caller Caller, id int64, change func(d *env.Description) error) (Environment, error) {
	return r.store.UpdateEnvironment(ctx, id, func(owner string, d *env.Description) error {
		if err := owned(caller, owner); err != nil {
			return err
		}
		was := d.Visibility
		if err := change(d); err != nil {
			return err
		}
		if d.Visibility == was {
			return nil
		}
		return r.publishable(owner, d)
	})
}

// RemoveEnvironments removes all of the environments, or none and says why.
func (r *Registry) RemoveEnvironments(ctx context.Context, caller Caller, ids []int64) error {
	return r.store.RemoveEnvironments(ctx, ids, func(owner string) error { return owned(caller, owner) })
}

func owned(caller Caller, owner string) error {
	if owner != caller.User && !caller.Admin {
		return apperr.Forbidden("what belongs to %s only he and administrators may change", owner)
	}
	return nil
}

func (r *Registry) publishable(owner string, d *env.Description) error {
	if d.Visibility == "public" && !slices.Contains(r.admins, owner) {
		return apperr.Forbidden("only administrators have public environments, %s is none; choose shared or private", owner)
	}
	return nil
}
