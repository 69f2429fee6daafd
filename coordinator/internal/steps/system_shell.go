package steps

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// Remote runs a command line with root's shell on the system that a node runs, over
// ssh. The error is nil if it was run, however it ended.
type Remote interface {
	Run(ctx context.Context, address netip.Addr, line string, stdin io.Reader, stdout, stderr io.Writer) (status int, err error)
}

// resident tells whether the node runs the mini-OS, or another system with our
// agent: it can be asked without ssh then.
func (n nodes) resident(node string) bool { return n.Agents.BootID(node) != "" }

// execute has a node run a command line with the variables in its environment, by
// its agent if there is one, else over ssh. A non-zero exit is an error that ends
// with what was printed last. It returns what the command printed to stdout.
func (n nodes) execute(ctx context.Context, t *workflow.Task, node, what, line string, variables map[string]string) (string, error) {
	if n.resident(node) {
		var stdout string
		quiet := *t
		quiet.Output = func(node, command, out, errs string, status int) {
			stdout = out
			if t.Output != nil {
				t.Output(node, command, out, errs, status)
			}
		}
		err := n.run(ctx, &quiet, node, what, &agentv1.RunRequest{
			What: &agentv1.RunRequest_Command{Command: line}, Environment: variables,
		})
		return stdout, err
	}
	return n.overSSH(ctx, t, node, what, script(line, variables), nil)
}

// overSSH runs a line on the system that is not the mini-OS.
func (n nodes) overSSH(ctx context.Context, t *workflow.Task, node, what, line string, stdin io.Reader) (string, error) {
	address, err := n.systemAddress(t, node)
	if err != nil {
		return "", err
	}
	if n.Remote == nil {
		return "", fmt.Errorf("%s: the node runs no agent, and there is no deployment key to log in with: give ssh_private_key in server.conf", what)
	}
	var stdout, stderr tail
	status, err := n.Remote.Run(ctx, address, line, stdin, &stdout, &stderr)
	if t.Output != nil {
		t.Output(node, what, stdout.String(), stderr.String(), status)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", what, err)
	case status != 0:
		return "", fmt.Errorf("%s: exit status %d%s", what, status, last(&stdout, &stderr))
	}
	return stdout.String(), nil
}

// systemAddress is where a system that is not the mini-OS answers: after the move
// into the user's VLAN in that one, before it at the node's own address.
func (n nodes) systemAddress(t *workflow.Task, node string) (netip.Addr, error) {
	if there, ok := t.Request.VLANAddrs[node]; ok && t.Macro == workflow.BootNewEnv {
		return there, nil
	}
	return address(t, node)
}

// script makes a shell line of a command with variables. bash is preferred, as site
// scripts expect it; the agent does the same.
func script(line string, variables map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(variables[name]))
	}
	b.WriteString(line)
	return "s=" + quote(b.String()) + `; [ -x /bin/bash ] && exec /bin/bash -c "$s"; exec /bin/sh -c "$s"`
}

// quote makes a text one word of a shell line.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
