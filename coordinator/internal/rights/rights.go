// Package rights decides who may do what on which node (contract 7.8). It keeps
// no rights itself: a table does.
package rights

import (
	"context"
	"slices"
)

// Table knows the rights of each user.
type Table interface {
	// Partitions are, by node, the partitions that a user has a right on; "*"
	// stands for any node, and for any partition.
	Partitions(ctx context.Context, user string) (map[string][]string, error)
}

// all stands for every node, or every partition.
const all = "*"

// Policy is how a site decides.
type Policy struct {
	table    Table // nil: everybody may do everything
	almighty []string
}

// New makes a policy. kind is "db", or "dummy" with which everything is granted
// (contract 5.1); almighty are the administrators.
func New(kind string, almighty []string, table Table) *Policy {
	if kind == "dummy" {
		table = nil
	}
	return &Policy{table: table, almighty: slices.Clone(almighty)}
}

// Almighty tells whether a user is an administrator.
func (p *Policy) Almighty(user string) bool { return slices.Contains(p.almighty, user) }

// Refused lists the nodes on which a user lacks the right on a partition. Its
// names are strings such as /dev/sda3 and disk0/DEPLOY, compared as they are; a
// right on any of them will do. Without a name any right on the node will do.
func (p *Policy) Refused(ctx context.Context, user string, nodes []string, names ...string) ([]string, error) {
	if p.table == nil || p.Almighty(user) {
		return nil, nil
	}
	held, err := p.table.Partitions(ctx, user)
	if err != nil {
		return nil, err
	}
	var refused []string
	for _, node := range nodes {
		if !covers(held[node], names) && !covers(held[all], names) {
			refused = append(refused, node)
		}
	}
	return refused, nil
}

func covers(held, names []string) bool {
	if len(names) == 0 {
		return len(held) > 0
	}
	return slices.ContainsFunc(held, func(part string) bool { return part == all || slices.Contains(names, part) })
}
