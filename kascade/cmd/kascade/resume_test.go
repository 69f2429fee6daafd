package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestResume: what nodes verified before the head was killed does not come again.
func TestResume(t *testing.T) {
	s := newHandSite(t, 2, 12<<20)
	s.sh(0, "tc qdisc add dev br0 root tbf rate 100mbit burst 256k latency 100ms")
	run := func() (head *real, nodes []*real) {
		for i := range 2 {
			nodes = append(nodes, s.node(i+1, "--resume", "-o", s.copy(i+1)))
		}
		return s.start(0, "-i", s.image, "--json", "--window", "4MiB"), nodes
	}
	head, nodes := run()
	waitFor(t, func() bool { return partial(s.dir, "copy-1") > 6<<20 && partial(s.dir, "copy-2") > 6<<20 })
	head.cmd.Process.Kill()
	head.wait(t)
	for _, n := range nodes {
		n.wait(t)
		if n.code != exitFatal {
			t.Errorf("a node without its head: exit code %d", n.code)
		}
	}
	head, nodes = run()
	head.wait(t)
	if head.code != exitOK {
		t.Fatalf("the second head: exit code %d\n%s", head.code, &head.err)
	}
	for i, n := range nodes {
		n.wait(t)
		if got, _ := os.ReadFile(s.copy(i + 1)); n.code != exitOK || !bytes.Equal(got, s.data) {
			t.Errorf("node %d: exit code %d, %d bytes\n%s", i+1, n.code, len(got), &n.err)
		}
	}
	if sent := lastSent(t, head.out.Bytes()); sent > 7<<20 {
		t.Errorf("the second head sent %d bytes of %d: the nodes held half of it", sent, len(s.data))
	}
	if left, _ := filepath.Glob(s.dir + "/.copy*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// lastSent is how many bytes the head says it sent.
func lastSent(t *testing.T, out []byte) int64 {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var r struct{ Sent int64 }
	must(t, json.Unmarshal(lines[len(lines)-1], &r))
	return r.Sent
}
