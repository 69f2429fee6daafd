package kascade

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// netRig is a head in a network namespace with a bridge, and node processes in
// namespaces of their own, each on a cable to that bridge.
type netRig struct {
	t     *testing.T
	dir   string
	src   memory
	m     *Manifest
	procs map[string]*exec.Cmd
	peers []Peer
	seed  uint64 // of what is random
	// lateHarm says that a node may be done before it is harmed: then it must have every byte.
	lateHarm bool
}

const headAddress = "10.99.0.1"

// newNetRig brings up the network and the nodes. The calling goroutine stays in the head's
// namespace; the thread ends with the test. The head sends at most rate.
func newNetRig(t *testing.T, nodes, size int, rate string) *netRig {
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces: run the tests as root")
	}
	runtime.LockOSThread() // never unlocked: the thread must not be used again
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal("unshare the network:", err)
	}
	r := &netRig{t: t, dir: t.TempDir(), src: randomSource(3, size), procs: map[string]*exec.Cmd{}}
	var err error
	if r.m, err = NewManifest(io.NewSectionReader(r.src, 0, r.src.Size()), 256<<10); err != nil {
		t.Fatal(err)
	}
	r.sh("ip link set lo up; ip link add br0 type bridge; ip addr add " + headAddress + "/16 dev br0; ip link set br0 up")
	if rate != "" {
		r.sh("tc qdisc add dev br0 root tbf rate " + rate + " burst 256k latency 100ms")
	}
	ln, err := net.Listen("tcp", headAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Cleanup(r.killAll)
	for i := range nodes {
		r.startNode(i+1, ln.Addr().String())
	}
	for range nodes {
		r.accept(ln)
	}
	return r
}

func (r *netRig) sh(script string) {
	r.t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v\n%s(needs the packages iproute2 and util-linux)", script, err, out)
	}
}

// startNode starts node i with address 10.99.1.i, behind the cable "v<i>".
func (r *netRig) startNode(i int, head string) {
	name := fmt.Sprintf("node-%d", i)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KASCADE_TEST_NODE="+name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.procs[name] = cmd
	r.sh(fmt.Sprintf(`ip link add v%[1]d type veth peer name eth0 netns %[2]d
		ip link set v%[1]d master br0 up
		nsenter -t %[2]d -n sh -ec 'ip link set lo up; ip addr add 10.99.1.%[1]d/16 dev eth0; ip link set eth0 up'`, i, cmd.Process.Pid))
	fmt.Fprintln(in, head, r.output(name))
	in.Close()
}

func (r *netRig) output(name string) string { return filepath.Join(r.dir, name) }

// accept takes one node's control link.
func (r *netRig) accept(ln net.Listener) {
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	c, err := ln.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	br := bufio.NewReader(c)
	name, err := br.ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	r.peers = append(r.peers, Peer{Name: strings.TrimSpace(name), Host: host, Control: c})
}

func (r *netRig) killAll() {
	for _, cmd := range r.procs {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// harm kills, stops, or cuts off node i.
func (r *netRig) harm(how string, i int) {
	r.t.Logf("%s node-%d", how, i)
	switch p := r.procs[fmt.Sprintf("node-%d", i)].Process; how {
	case "kill":
		p.Kill()
	case "stop":
		p.Signal(syscall.SIGSTOP)
	case "cut":
		r.sh(fmt.Sprintf("ip link set v%d down", i))
	}
}

// broadcast harms each of the victims when it has received the bytes given for it, and
// checks the outcome.
func (r *netRig) broadcast(harm string, victims map[int]int64) *Result {
	r.t.Helper()
	opts := HeadOptions{Listen: headAddress + ":0", Window: 4 << 20, Report: 20 * time.Millisecond}
	left := map[string]int{}
	for i := range victims {
		left[fmt.Sprintf("node-%d", i)] = i
	}
	rng := rand.New(rand.NewPCG(r.seed, 2))
	opts.Progress = func(p Progress) {
		for _, n := range p.Nodes {
			if i, ok := left[n.Name]; ok && n.Received >= victims[i] && n.State != Waiting {
				delete(left, n.Name)
				how := harm
				if how == "random" {
					how = []string{"kill", "stop", "cut"}[rng.IntN(3)]
				}
				r.harm(how, i)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	res, err := Broadcast(ctx, r.src, r.m, r.peers, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(left) > 0 {
		r.t.Errorf("nodes %v were never harmed: the broadcast was too fast for this test", left)
	}
	r.check(res, victims)
	return res
}

// check compares the outcome with the victims: everybody else must have the source.
func (r *netRig) check(res *Result, victims map[int]int64) {
	r.t.Helper()
	want := r.src.bytes()
	for name, err := range res.Nodes {
		var i int
		fmt.Sscanf(name, "node-%d", &i)
		_, victim := victims[i]
		if victim && err == nil && !r.lateHarm {
			r.t.Errorf("%s succeeded, although harmed", name)
		}
		if victim && err != nil {
			continue
		}
		if err != nil {
			r.t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := os.ReadFile(r.output(name)); err != nil || !bytes.Equal(got, want) {
			r.t.Errorf("%s: its file is not the source: %d bytes, %v", name, len(got), err)
		}
		if err := r.procs[name].Wait(); err != nil && !victim {
			r.t.Errorf("%s: %v", name, err)
		}
	}
}

// shape limits what comes out of a device of the head's namespace, and, of a node, what it
// sends.
func (r *netRig) shape(device, node, rate string) {
	r.t.Helper()
	tbf := "root tbf rate " + rate + " burst 64k latency 50ms"
	r.sh("tc qdisc add dev " + device + " " + tbf)
	if node != "" {
		r.sh(fmt.Sprintf("nsenter -t %d -n tc qdisc add dev eth0 %s", r.procs[node].Process.Pid, tbf))
	}
}

// TestNamespaces kills processes, stops them, and pulls cables. At 200 Mb/s the source
// takes 0.7 s.
func TestNamespaces(t *testing.T) {
	const size, mib = 16 << 20, 1 << 20
	for _, c := range []struct {
		name    string
		nodes   int
		harm    string
		victims map[int]int64
		within  time.Duration
	}{
		{"nobody", 4, "", nil, 2 * time.Second},
		{"kill the first", 4, "kill", map[int]int64{1: 4 * mib}, 2500 * time.Millisecond},
		{"kill at the start", 4, "kill", map[int]int64{2: 0}, 2500 * time.Millisecond},
		{"kill three adjacent ones", 6, "kill", map[int]int64{2: 4 * mib, 3: 4 * mib, 4: 4 * mib}, 2500 * time.Millisecond},
		{"cut the cable of the middle", 4, "cut", map[int]int64{2: 4 * mib}, 4500 * time.Millisecond},
		{"cut the cable of the first", 4, "cut", map[int]int64{1: 4 * mib}, 4500 * time.Millisecond},
		{"cut the cable of the last", 4, "cut", map[int]int64{4: 4 * mib}, 4500 * time.Millisecond},
		{"stop the middle", 4, "stop", map[int]int64{3: 4 * mib}, 4500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newNetRig(t, c.nodes, size, "200mbit")
			res := r.broadcast(c.harm, c.victims)
			t.Logf("%v, head sent %.1f MiB", res.Elapsed.Round(time.Millisecond), float64(res.Sent)/mib)
			if res.Elapsed > patience*c.within {
				t.Errorf("took %v, want at most %v", res.Elapsed, patience*c.within)
			}
		})
	}
}

// TestManyDeaths: 64 nodes on real links; eight of them die at random moments, in a way that
// is random, too. Everybody else gets every byte. KASCADE_TEST_SEED repeats a run.
func TestManyDeaths(t *testing.T) {
	const nodes, size = 64, 16 << 20
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("KASCADE_TEST_SEED"); s != "" {
		fmt.Sscan(s, &seed)
	}
	t.Logf("KASCADE_TEST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	victims := map[int]int64{}
	for _, i := range rng.Perm(nodes)[:8] {
		victims[i+1] = rng.Int64N(size / 2)
	}
	r := newNetRig(t, nodes, size, "100mbit")
	r.seed, r.lateHarm = seed, true
	res := r.broadcast("random", victims)
	t.Logf("%d failed, %v, head sent %.1f MiB", res.Failed(), res.Elapsed.Round(time.Millisecond), float64(res.Sent)/(1<<20))
	if res.Failed() < len(victims)/2 {
		t.Errorf("only %d of %d victims died in time", res.Failed(), len(victims))
	}
	if limit := int64(size + len(victims)*(8<<20)); res.Sent > limit {
		t.Errorf("the head sent %d bytes, more than the source and what gaps explain", res.Sent)
	}
}

// TestDeadFromTheStart: of 64 nodes four are dead and four are silent before the start. They
// are found at the same time.
func TestDeadFromTheStart(t *testing.T) {
	const nodes, size = 64, 4 << 20
	r := newNetRig(t, nodes, size, "100mbit")
	victims := map[int]int64{}
	for k, i := range []int{1, 2, 17, 30, 31, 32, 50, 64} {
		victims[i] = 0
		r.harm([]string{"kill", "stop"}[k%2], i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var alive time.Duration
	opts := HeadOptions{Listen: headAddress + ":0", Report: 20 * time.Millisecond, StartWithin: 2500 * time.Millisecond}
	opts.Progress = func(p Progress) {
		done := 0
		for _, n := range p.Nodes {
			if n.State == Done {
				done++
			}
		}
		if done == nodes-len(victims) && alive == 0 {
			alive = p.Elapsed
		}
	}
	res, err := Broadcast(ctx, r.src, r.m, r.peers, opts)
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, victims)
	t.Logf("the others after %v, all after %v", alive, res.Elapsed)
	// 0.34 s for the bytes, 1.5 s for the dead; the rest is this machine's.
	if limit := patience * 4 * time.Second; alive == 0 || alive > limit {
		t.Errorf("the others were done after %v, want at most %v", alive, limit)
	}
}
