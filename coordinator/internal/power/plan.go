package power

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/cluster"
)

// plan finds the command of each node at a level. Nodes that cannot have one
// are left out, with the reason on their trail. A group's command is run once,
// and only if the request is for the whole group.
func (p *performance) plan(level int, nodes []string) []unit {
	var units []unit
	groups := map[string]groupFile{} // by file, read once
	taken := map[string]bool{}
	for _, node := range nodes {
		if taken[node] {
			continue
		}
		cmd := p.command(node, level)
		set := []string{node}
		var err error
		switch {
		case cmd.Line == "" && p.controlled(level):
			var u unit
			if u, err = p.controller(node, level); err == nil {
				units = append(units, u)
				continue
			}
		case cmd.Line == "":
			err = fmt.Errorf("%s command is not provided", opName(p.op, level))
		case cmd.Group != "":
			set, err = groupOf(groups, cmd.Group, node, nodes)
		}
		if err == nil {
			for _, n := range set {
				taken[n] = true
			}
			var line string
			if line, err = p.service.substitute(cmd.Line, node, set); err == nil {
				units = append(units, unit{line: line, nodes: set})
				continue
			}
		}
		for _, n := range set {
			p.skip(n, level, err)
		}
	}
	return units
}

// command is a node's own command, else its cluster's.
func (p *performance) command(node string, level int) cluster.Command {
	remote := &p.cluster.Remote
	own := remote.PerNode[node]
	pick := func(own, common cluster.Command) cluster.Command {
		if own.Line != "" {
			return own
		}
		return common
	}
	switch p.op {
	case Reboot:
		return pick(own.Reboot[level], remote.Reboot[level])
	case On:
		return pick(own.PowerOn[level], remote.PowerOn[level])
	case Off:
		return pick(own.PowerOff[level], remote.PowerOff[level])
	case Status:
		return pick(own.PowerStatus, remote.PowerStatus)
	}
	return cluster.Command{}
}

// groupFile is the groups of a file, by member.
type groupFile struct {
	of  map[string][]string
	err error
}

// groupOf is the group that a node is handled with. On an error only the node
// itself is returned with it.
func groupOf(files map[string]groupFile, file, node string, requested []string) ([]string, error) {
	g, read := files[file]
	if !read {
		g = readGroups(file)
		files[file] = g
	}
	self := []string{node}
	if g.err != nil {
		return self, g.err
	}
	group, ok := g.of[node]
	if !ok {
		return self, fmt.Errorf("%s is in no group of %s", node, file)
	}
	for _, other := range group {
		if !slices.Contains(requested, other) {
			return self, fmt.Errorf("%s can only be handled with its whole group, and %s is not concerned", node, other)
		}
	}
	return group, nil
}

// readGroups reads a file with one comma-separated group a line.
func readGroups(file string) groupFile {
	f, err := os.Open(file)
	if err != nil {
		return groupFile{err: fmt.Errorf("groups of nodes: %w", err)}
	}
	defer f.Close()
	g := groupFile{of: map[string][]string{}}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var group []string
		for _, name := range strings.Split(lines.Text(), ",") {
			if name = strings.TrimSpace(name); name != "" && !strings.HasPrefix(name, "#") {
				group = append(group, name)
			}
		}
		for _, name := range group {
			if _, twice := g.of[name]; twice {
				return groupFile{err: fmt.Errorf("groups of nodes: %s names %s twice", file, name)}
			}
			g.of[name] = group
		}
	}
	if err := lines.Err(); err != nil {
		return groupFile{err: fmt.Errorf("groups of nodes: read %s: %w", file, err)}
	}
	return g
}

// substitute replaces the patterns in a command line (contract 5.3). Names go
// into a shell's line, so only such as cannot mean anything to it are let in.
func (s *Service) substitute(line, node string, group []string) (string, error) {
	short := make([]string, len(group))
	for i, name := range group {
		if err := cluster.CheckHostName(name); err != nil {
			return "", err
		}
		short[i] = cluster.ShortName(name)
	}
	// The connector may itself name the host, so it comes first.
	line = strings.ReplaceAll(line, "DEFAULT_CONNECTOR", s.connector)
	line, err := cluster.ForNode(line, node)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("GROUP_FQDN", strings.Join(group, ","), "GROUP_SHORT", strings.Join(short, ",")).Replace(line), nil
}
