package console

import (
	"strings"
	"testing"

	"kadeploy/coordinator/internal/cluster"
)

func TestTail(t *testing.T) {
	s := New(Config{Connector: "ssh"})
	defer s.Close()
	c := &cluster.Cluster{Remote: cluster.RemoteOps{
		ConsoleLog: cluster.Command{Line: `printf '\033[1;31mlast\033[0m words of HOSTNAME_SHORT\r\n\n'`},
		PerNode:    map[string]cluster.NodeOps{"n2.lab": {ConsoleLog: cluster.Command{Line: "echo broken >&2; exit 3"}}},
	}}
	if got, err := s.Tail(t.Context(), c, "n1.lab"); err != nil || got != "last words of n1" {
		t.Errorf("Tail = %q, %v", got, err)
	}
	if _, err := s.Tail(t.Context(), c, "n2.lab"); err == nil || !strings.Contains(err.Error(), "console_log of n2.lab: exit status 3: broken") {
		t.Errorf("Tail = %v", err)
	}
	if _, err := s.Tail(t.Context(), c, "n1; reboot"); err == nil {
		t.Error("a name with a command in it was taken")
	}
	if got, err := s.Tail(t.Context(), &cluster.Cluster{}, "n1.lab"); got != "" || err != nil {
		t.Errorf("Tail without a command = %q, %v", got, err)
	}
}
