package nodeset

import (
	"slices"
	"strings"

	"kadeploy/coordinator/internal/apperr"
)

// Resolver finds which of the configured nodes a user means.
type Resolver struct {
	names   []string            // configured FQDNs, naturally sorted
	known   map[string]bool     // the same
	byLabel map[string][]string // by first label
}

// NewResolver makes a resolver for the FQDNs of a configuration.
func NewResolver(names []string) *Resolver {
	names = slices.Clone(names)
	Sort(names)
	r := &Resolver{names: slices.Compact(names), known: make(map[string]bool), byLabel: make(map[string][]string)}
	for _, name := range r.names {
		label, _, _ := strings.Cut(name, ".")
		r.known[name] = true
		r.byLabel[label] = append(r.byLabel[label], name)
	}
	return r
}

// Names are the configured nodes, naturally sorted.
func (r *Resolver) Names() []string { return slices.Clone(r.names) }

// Resolve finds one name: an exact FQDN, else an exact first label, else the one
// node whose name contains it with no digit right behind it (nor, if it starts
// with a digit, in front of it). Errors have the code INVALID_NODELIST.
func (r *Resolver) Resolve(name string) (string, error) {
	if r.known[name] {
		return name, nil
	}
	matches := r.byLabel[name]
	if len(matches) == 0 && name != "" {
		for _, candidate := range r.names {
			if contains(candidate, name) {
				matches = append(matches, candidate)
			}
		}
	}
	switch len(matches) {
	case 0:
		return "", apperr.New(apperr.InvalidNodelist, "The node '%s' does not exist on this server", shorten(name))
	case 1:
		return matches[0], nil
	}
	return "", apperr.New(apperr.InvalidNodelist, "The node name '%s' is ambiguous, it may be %s: give the full name", shorten(name), few(matches))
}

// few lists some names, so that a message stays readable.
func few(names []string) string {
	const enough = 4
	if len(names) <= enough {
		return strings.Join(names, " or ")
	}
	return strings.Join(names[:enough], " or ") + " or others"
}

func contains(fqdn, part string) bool {
	for from := 0; ; {
		i := strings.Index(fqdn[from:], part)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(part)
		behind := end == len(fqdn) || !isDigit(fqdn[end])
		front := start == 0 || !isDigit(part[0]) || !isDigit(fqdn[start-1])
		if behind && front {
			return true
		}
		from = start + 1
	}
}

// ResolveAll expands each expression and resolves each name. The result has each
// node once, naturally sorted.
func (r *Resolver) ResolveAll(exprs []string) ([]string, error) {
	var all []string
	for _, expr := range exprs {
		names, err := r.resolveExpr(expr)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
		if len(all) > MaxNodes {
			Sort(all)
			all = slices.Compact(all)
		}
	}
	Sort(all)
	return slices.Compact(all), nil
}

func (r *Resolver) resolveExpr(expr string) ([]string, error) {
	names, err := Expand(expr)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if names[i], err = r.Resolve(name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Resolve is ResolveAll for a configuration that is used once.
func Resolve(exprs, configured []string) ([]string, error) {
	return NewResolver(configured).ResolveAll(exprs)
}
