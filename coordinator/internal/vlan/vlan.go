// Package vlan moves nodes from one VLAN to another by the site's command, and
// knows under which addresses they are found there: those of the host names that
// the site's DNS has for nodes in that VLAN. It does not decide when a node moves.
package vlan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/command"
)

// Default is what the site's command is told for the VLAN that nodes are deployed in.
const Default = "DEFAULT"

// Config is what a Service is made from.
type Config struct {
	Suffix    string        // put behind the first label of a node's name; VLAN_ID in it is replaced
	Command   string        // patterns NODES, VLAN_ID and USER; DEFAULT_CONNECTOR
	Connector string        // replaces DEFAULT_CONNECTOR
	Timeout   time.Duration // of one run of the command; 2 min if 0

	// Lookup finds the addresses of a host name; the system's resolver if nil.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

const (
	defaultTimeout = 2 * time.Minute
	lookupTime     = 10 * time.Second // of all nodes of one request
	lookups        = 32               // at once
)

// Service moves nodes.
type Service struct {
	cfg Config

	mu    sync.Mutex
	known map[place]netip.Addr // found by Addresses
	moved map[string]string    // node to VLAN, by the last Move; not in it: the default one
}

type place struct{ node, vlan string }

// New makes a Service; see Enabled.
func New(cfg Config) *Service {
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &Service{cfg: cfg, known: make(map[place]netip.Addr), moved: make(map[string]string)}
}

// Enabled tells whether the site has VLANs.
func (s *Service) Enabled() bool { return s.cfg.Suffix != "" && s.cfg.Command != "" }

// form is what an ID may be: it becomes part of host names and of a shell line.
var form = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)

// Host is the name that a node has in a VLAN.
func (s *Service) Host(node, id string) string {
	label, domain, dotted := strings.Cut(node, ".")
	name := label + strings.ReplaceAll(s.cfg.Suffix, "VLAN_ID", id)
	if dotted {
		name += "." + domain
	}
	return name
}

// Addresses are those of nodes in a VLAN. Errors are INVALID_VLAN.
func (s *Service) Addresses(ctx context.Context, nodes []string, id string) (map[string]netip.Addr, error) {
	if !s.Enabled() {
		return nil, apperr.New(apperr.InvalidVLAN, "this site has no VLANs: leave --vlan out, or have network/vlan configured")
	}
	if !form.MatchString(id) {
		return nil, apperr.New(apperr.InvalidVLAN, "%q is not the ID of a VLAN: letters, digits, '.', '_' and '-' are possible", id)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found := make([]netip.Addr, len(nodes))
	errs := make([]error, len(nodes))
	places := make(chan struct{}, lookups)
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			found[i], errs[i] = s.address(ctx, s.Host(node, id))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		first := err
		for _, e := range errs {
			if e != nil {
				first = e
				break
			}
		}
		return nil, apperr.New(apperr.InvalidVLAN, "VLAN %s: %w; does the VLAN exist, and may these nodes go there?", id, first)
	}
	all := make(map[string]netip.Addr, len(nodes))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, node := range nodes {
		all[node] = found[i]
		s.known[place{node, id}] = found[i]
	}
	return all, nil
}

// address prefers IPv4, which is what the boot service speaks.
func (s *Service) address(ctx context.Context, host string) (netip.Addr, error) {
	found, err := s.cfg.Lookup(ctx, host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("the address of %s cannot be found: %w", host, err)
	}
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			return a, nil
		}
	}
	if len(found) == 0 {
		return netip.Addr{}, fmt.Errorf("the host %s has no address", host)
	}
	return found[0], nil
}

// Move puts nodes into a VLAN, or back into Default, by one run of the site's
// command. It returns the line that was run and what that printed.
func (s *Service) Move(ctx context.Context, nodes []string, id, user string) (line, output string, err error) {
	var list strings.Builder
	for _, node := range nodes {
		list.WriteString(" -m " + node)
	}
	line = strings.NewReplacer(
		"DEFAULT_CONNECTOR", s.cfg.Connector,
		"NODES", list.String(),
		"VLAN_ID", id,
		"USER", word(user),
	).Replace(s.cfg.Command)
	r := command.Run(ctx, line, s.cfg.Timeout)
	if r.Err == nil {
		s.note(nodes, id)
	}
	return line, r.Stdout + r.Stderr, r.Err
}

func (s *Service) note(nodes []string, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, node := range nodes {
		if id == Default {
			delete(s.moved, node)
		} else {
			s.moved[node] = id
		}
	}
}

// Restore says that nodes may be in a VLAN, into which an earlier process put them,
// and which addresses they have there.
func (s *Service) Restore(id string, addresses map[string]netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for node, address := range addresses {
		s.known[place{node, id}] = address
		s.moved[node] = id
	}
}

// Where is the address of a node in the VLAN that it was moved to last; ok is
// false if that is the default one.
func (s *Service) Where(node string) (address netip.Addr, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, moved := s.moved[node]
	address, ok = s.known[place{node, id}]
	return address, moved && ok
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// word is a text as one word for the shell, quoted only where it must be.
func word(text string) string {
	if harmless.MatchString(text) {
		return text
	}
	return command.Quote(text)
}
