package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kadeploy/kascade/internal/launch/launchtest"
)

// handSite is a head's network namespace with a bridge, and one for each node, on a cable
// of its own: the head is 10.97.0.1, node i 10.97.1.i.
type handSite struct {
	t     *testing.T
	dir   string
	image string
	data  []byte
	pids  []string // that hold the namespaces; the head's first
}

func newHandSite(t *testing.T, nodes, size int) *handSite {
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces: run the tests as root")
	}
	s := &handSite{t: t, dir: t.TempDir(), data: make([]byte, size)}
	rand.NewChaCha8([32]byte{9}).Read(s.data)
	s.image = filepath.Join(s.dir, "image")
	must(t, os.WriteFile(s.image, s.data, 0o600))
	must(t, os.WriteFile(s.dir+"/key", []byte("sesame\n"), 0o600))
	for i := range nodes + 1 {
		holder := exec.Command("unshare", "-n", "sh", "-c", "echo; exec sleep 300")
		ready, err := holder.StdoutPipe()
		must(t, err)
		must(t, holder.Start())
		t.Cleanup(func() { holder.Process.Kill(); holder.Wait() })
		ready.Read(make([]byte, 1)) // it is in its namespace
		s.pids = append(s.pids, strconv.Itoa(holder.Process.Pid))
		if i == 0 {
			s.sh(0, "ip link set lo up; ip link add br0 type bridge; ip addr add 10.97.0.1/16 dev br0; ip link set br0 up")
			continue
		}
		s.sh(0, fmt.Sprintf("ip link add v%d type veth peer name eth0 netns %s; ip link set v%d master br0 up", i, s.pids[i], i))
		s.sh(i, fmt.Sprintf("ip link set lo up; ip addr add 10.97.1.%d/16 dev eth0; ip link set eth0 up", i))
	}
	return s
}

func (s *handSite) inside(i int) []string { return []string{"nsenter", "-t", s.pids[i], "-n"} }

func (s *handSite) sh(i int, script string) {
	s.t.Helper()
	launchtest.Run(s.t, append(s.inside(i), "sh", "-ec", script)...)
}

func (s *handSite) list(n int) string {
	if n == 1 {
		return "10.97.1.1:4000"
	}
	return fmt.Sprintf("10.97.1.1:4000,10.97.1.[2-%d]", n)
}

func (s *handSite) copy(i int) string { return fmt.Sprintf("%s/copy-%d", s.dir, i) }

func (s *handSite) start(i int, args ...string) *real {
	r := s.prepare(i, args...)
	r.start(s.t)
	return r
}

func (s *handSite) prepare(i int, args ...string) *real {
	s.t.Helper()
	common := []string{"-D", "none", "-N", s.list(len(s.pids) - 1), "--key-file", s.dir + "/key"}
	return prepare(s.t, s.inside(i), nil, append(common, args...)...)
}

// node starts node i as an administrator does: it finds its own name by its addresses.
func (s *handSite) node(i int, args ...string) *real {
	return s.start(i, append([]string{"-m", "10.97.0.1"}, args...)...)
}

// TestByHand: some nodes first, then the head, then the others. One has a full disk, one is
// killed half-way, one loses its cable, one writes a directory's worth to its command.
func TestByHand(t *testing.T) {
	s := newHandSite(t, 6, 12<<20)
	must(t, os.Mkdir(s.dir+"/full", 0o700))
	launchtest.Run(t, "mount", "-t", "tmpfs", "-o", "size=1m", "none", s.dir+"/full")
	defer launchtest.Run(t, "umount", s.dir+"/full")
	s.sh(0, "tc qdisc add dev br0 root tbf rate 100mbit burst 256k latency 100ms") // a second
	outputs := [][]string{{"-o", s.copy(1)}, {"-o", s.dir + "/full/x"}, {"-o", s.copy(3)}, {"-O", "cat >" + s.copy(4)}, {"-o", s.copy(5)}, {"-o", s.copy(6)}}
	nodes := make([]*real, 7)
	for _, i := range []int{3, 6, 2} {
		nodes[i] = s.node(i, outputs[i-1]...)
	}
	head := s.start(0, "-i", s.image, "-K", s.dir+"/ko", "-k", s.dir+"/ok", "--json", "--window", "4MiB")
	for _, i := range []int{1, 5, 4} {
		nodes[i] = s.node(i, outputs[i-1]...)
	}
	waitFor(t, func() bool { return partial(s.dir, "copy-3") > 1<<20 })
	s.sh(1, "ss -Hltn | grep -q :4000") // the port that the list gives it
	nodes[3].cmd.Process.Kill()
	s.sh(0, "ip link set v5 down")
	head.wait(t)
	if head.code != exitSome {
		t.Errorf("the head's exit code is %d, want %d\n%s", head.code, exitSome, &head.err)
	}
	var ok []string
	ko := map[string]string{}
	readYAML(t, s.dir+"/ok", &ok)
	readYAML(t, s.dir+"/ko", &ko)
	if want := "10.97.1.1 10.97.1.4 10.97.1.6"; strings.Join(ok, " ") != want {
		t.Errorf("ok: %v, want %s; ko: %v", ok, want, ko)
	}
	for i, want := range map[int]string{2: "no space left", 3: "control link lost", 5: "silent"} {
		if got := ko[fmt.Sprintf("10.97.1.%d", i)]; !strings.Contains(got, want) {
			t.Errorf("ko of node %d: %q, want %q", i, got, want)
		}
	}
	for _, i := range []int{1, 4, 6} {
		nodes[i].wait(t)
		if got, _ := os.ReadFile(s.copy(i)); nodes[i].code != exitOK || !bytes.Equal(got, s.data) {
			t.Errorf("node %d: exit code %d, %d bytes of %d\n%s", i, nodes[i].code, len(got), len(s.data), &nodes[i].err)
		}
	}
	nodes[2].wait(t)
	if nodes[2].code != exitFatal {
		t.Errorf("the node with the full disk: exit code %d", nodes[2].code)
	}
	nodes[5].cmd.Process.Kill()
	lines := bytes.Split(bytes.TrimSpace(head.out.Bytes()), []byte("\n"))
	if !bytes.Contains(lines[0], []byte(`{"event":"launch"`)) || len(lines) < 4 {
		t.Errorf("%d lines of JSON, the first is %s", len(lines), lines[0])
	}
	checkJSON(t, head.out.Bytes(), 6, int64(len(s.data)))
}

// TestByHandOutputs: what comes, the head says; a node knows only where to put it.
func TestByHandOutputs(t *testing.T) {
	s := newHandSite(t, 1, 1<<20)
	must(t, os.MkdirAll(s.dir+"/from/sub", 0o755))
	must(t, os.WriteFile(s.dir+"/from/sub/file", s.data, 0o600))
	launchtest.Run(t, "tar", "-C", s.dir+"/from", "-cf", s.dir+"/archive.tar", ".")
	must(t, os.Mkdir(s.dir+"/there", 0o755))
	for _, c := range []struct {
		name, input, output string
		code                int
		same                []string // two paths that are the same afterwards
		says                string
	}{
		{"a file keeps its name in a directory", "image", "there", exitOK, []string{"image", "there/image"}, ""},
		{"an archive is a file, too", "archive.tar", "there", exitOK, []string{"archive.tar", "there/archive.tar"}, ""},
		{"a directory that is not there yet", "from", "new", exitOK, []string{"from", "new"}, ""},
		{"a directory into one that is there", "from", "there", exitOK, []string{"from/sub", "there/sub"}, ""},
		{"a stream has no name", "-", "there", exitFatal, nil, "there is a directory, and a stream has no name"},
	} {
		input := c.input
		if input != "-" {
			input = s.dir + "/" + input
		}
		node := s.node(1, "-o", s.dir+"/"+c.output)
		head := s.start(0, "-i", input)
		head.wait(t)
		node.wait(t)
		if head.code != c.code || node.code != c.code || !strings.Contains(node.err.String(), c.says) {
			t.Errorf("%s: exit codes %d, %d, want %d\n%s%s", c.name, head.code, node.code, c.code, &head.err, &node.err)
			continue
		}
		if c.same != nil {
			launchtest.Run(t, "diff", "-r", s.dir+"/"+c.same[0], s.dir+"/"+c.same[1])
		}
	}
}

// TestOrder: a head cannot choose a directory.
func TestOrder(t *testing.T) {
	for _, base := range []string{"../x", "/etc/x", "..", ".", "/", "a/b", "x/"} {
		b, err := json.Marshal(order{Base: base})
		must(t, err)
		if _, err := readOrder(b); err == nil {
			t.Errorf("base %q was taken", base)
		}
	}
	if d, err := readOrder([]byte(`{"base":"image.raw","later":1}`)); err != nil || d.Base != "image.raw" {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestClosedPipe: a node whose standard output nobody reads any more fails, and goes on
// relaying.
func TestClosedPipe(t *testing.T) {
	s := newHandSite(t, 2, 12<<20)
	r, w, err := os.Pipe()
	must(t, err)
	first := s.prepare(1, "-m", "10.97.0.1", "-o", "-")
	first.cmd.Stdout = w
	first.start(t)
	w.Close()
	r.Close()
	second := s.node(2, "-o", s.copy(2))
	head := s.start(0, "-i", s.image, "-K", s.dir+"/ko")
	head.wait(t)
	first.wait(t)
	second.wait(t)
	ko := map[string]string{}
	readYAML(t, s.dir+"/ko", &ko)
	if head.code != exitSome || first.code != exitFatal || second.code != exitOK || !strings.Contains(ko["10.97.1.1"], "broken pipe") {
		t.Errorf("exit codes %d, %d, %d; ko: %v\n%s", head.code, first.code, second.code, ko, &first.err)
	}
	if got, _ := os.ReadFile(s.copy(2)); !bytes.Equal(got, s.data) {
		t.Errorf("the second node has %d bytes of %d", len(got), len(s.data))
	}
}

// partial is the size of the file that a node is writing for dir/name.
func partial(dir, name string) int64 {
	found, _ := filepath.Glob(fmt.Sprintf("%s/.%s.kascade*", dir, name))
	var most int64
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			most = max(most, info.Size())
		}
	}
	return most
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !what(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come so far within 30 s")
		}
	}
}
