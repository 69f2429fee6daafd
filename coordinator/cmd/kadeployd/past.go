package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"kadeploy/coordinator/internal/fleet"
	"kadeploy/coordinator/internal/store"
	"kadeploy/coordinator/internal/workflow"
)

// past is what resuming a deployment looks at (api.Past).
type past struct {
	store *store.Store
	fleet *fleet.Fleet
}

func (p past) Find(ctx context.Context, id string) (workflow.Interrupted, bool, error) {
	return p.store.Journal().Find(ctx, id)
}

func (p past) Standing(ctx context.Context, id string, before map[string]time.Time) ([]string, error) {
	boots, err := p.store.BootsSince(ctx, id, slices.Sorted(maps.Keys(before)))
	if err != nil {
		return nil, err
	}
	var standing []string
	for _, node := range slices.Sorted(maps.Keys(boots)) {
		// Tokens are dated to the second: one of the same second may be of a later boot.
		if p.fleet.BootID(node) != "" && boots[node].Before(before[node].Truncate(time.Second)) {
			standing = append(standing, node)
		}
	}
	return standing, nil
}
