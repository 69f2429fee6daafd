package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"kadeploy/kascade"
)

// readNodes makes the list of names, in the chain's order.
func (o *options) readNodes() error {
	o.ports = map[string]int{}
	if err := o.addNodes(o.nodes, "-N"); err != nil {
		return err
	}
	if o.nodeFile != "" {
		b, err := os.ReadFile(o.nodeFile)
		if err != nil {
			return fmt.Errorf("-n: %w", err)
		}
		if err := o.addNodes(string(b), o.nodeFile); err != nil {
			return err
		}
	}
	if len(o.names) == 0 {
		return errors.New("no nodes: give -N h1,h2,... or -n FILE")
	}
	if o.sort {
		slices.SortFunc(o.names, func(a, b string) int { return kascade.CompareNames(reversed(a), reversed(b)) })
	}
	return o.applyTopology()
}

// addNodes takes the nodes of a list: names and sets, with a data port or without.
func (o *options) addNodes(list, where string) error {
	inside := false
	words := strings.FieldsFunc(list, func(c rune) bool {
		inside = c == '[' || inside && c != ']'
		return !inside && (c == ',' || unicode.IsSpace(c))
	})
	for _, word := range words {
		set, port := word, 0
		if host, p, ok := strings.Cut(word, ":"); ok {
			var err error
			if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
				return fmt.Errorf("%s: %q: no port after the colon (an IPv6 address needs a name: give it one in /etc/hosts)", where, word)
			}
			set = host
		}
		names, err := kascade.ParseTopology(strings.NewReader(set), where)
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasPrefix(name, "-") {
				return fmt.Errorf("%s: %q is not the name of a node", where, name)
			}
			if slices.Contains(o.names, name) {
				if !o.sort {
					return fmt.Errorf("node %s is listed twice; -s takes each once", name)
				}
				continue
			}
			o.names = append(o.names, name)
			if port != 0 {
				o.ports[name] = port
			}
		}
	}
	return nil
}

// applyTopology orders the nodes as their file says; those that it does not have follow.
func (o *options) applyTopology() error {
	if o.topology == "" {
		return nil
	}
	f, err := os.Open(o.topology)
	if err != nil {
		return fmt.Errorf("--topology: %w", err)
	}
	defer f.Close()
	order, err := kascade.ParseTopology(f, o.topology)
	if err != nil {
		return fmt.Errorf("--topology: %w", err)
	}
	place := map[string]int{}
	for i, name := range order {
		place[name] = i - len(order)
	}
	slices.SortStableFunc(o.names, func(a, b string) int { return place[a] - place[b] })
	if last := o.names[len(o.names)-1]; place[last] == 0 {
		o.log.Warn("not in the topology file, and so at the end", "node", last)
	}
	return nil
}

// reversed puts the parts of a host name last to first, so that sites and clusters stand together.
func reversed(name string) string {
	parts := strings.Split(name, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}

// self is the name of this node: by its number, else by its host name, else by its addresses.
func (o *options) self() (string, error) {
	if o.index >= 0 {
		return o.names[o.index], nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	mine := map[string]bool{}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() {
			mine[n.IP.String()] = true
		}
	}
	short, _, _ := strings.Cut(host, ".")
	for _, name := range o.names {
		if first, _, _ := strings.Cut(name, "."); name == host || first == short || mine[name] {
			return name, nil
		}
	}
	return "", fmt.Errorf("none of the nodes is this host (%s): say which with -W %s", host, "0.."+strconv.Itoa(len(o.names)-1))
}
