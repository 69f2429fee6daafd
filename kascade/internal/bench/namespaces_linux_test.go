package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces: run the tests as root")
	}
}

func TestNamespaces(t *testing.T) {
	needRoot(t)
	const rate = 200 * mbit
	f := measure(t, Case{
		Name: "harm", Nodes: 5, Size: 8 << 20, Rate: rate, Cut: []Harm{{4, 0.5}}, Dead: 1, StartWithin: time.Second,
	}, false, HasIperf())
	if n := len(f.runs[0].Rates); n != 3 {
		t.Errorf("%d receivers, want 3", n)
	}
	// What the buckets hold at the start comes on top of the rate.
	if f.WithoutFail < 0.8*8*mib/rate || f.Elapsed < f.WithoutFail {
		t.Errorf("8 MiB at 200 Mbit/s took %v s, with failures %v s", f.WithoutFail, f.Elapsed)
	}
	if f.Iperf != nil && (f.Iperf.Rate < rate/2 || f.Iperf.Rate > 1.2*rate || f.Iperf.CPU <= 0 || f.CPURatio <= 0 || f.Share <= 0) {
		t.Errorf("iperf3 at 200 Mbit/s: %+v", f.Iperf)
	}
	slow := measure(t, Case{Name: "slow", Nodes: 3, Size: 4 << 20, Rate: rate, SlowLinks: map[int]int64{2: rate / 10}}, false, false)
	if slow.Elapsed < 4*0.8*4*mib/rate || slow.OthersRate <= 0 {
		t.Errorf("behind a cable at a tenth: %v s, the others %v", slow.Elapsed, slow.OthersRate)
	}
	if left, _ := filepath.Glob(namespaceDir + "/" + fmt.Sprintf("%s%d-*", namespacePrefix, os.Getpid())); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSweep: the namespaces of a benchmark that is gone are removed, those of one that runs
// are not.
func TestSweep(t *testing.T) {
	needRoot(t)
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dead := fmt.Sprintf("%s%d-hub", namespacePrefix, gone.Process.Pid)
	alive := fmt.Sprintf("%s%d-sweep", namespacePrefix, os.Getpid())
	bare := fmt.Sprintf("%s%d-0", namespacePrefix, gone.Process.Pid)
	n := &namespaces{}
	if _, err := n.createNamed(dead); err != nil {
		t.Fatal(err)
	}
	if _, err := n.createNamed(alive); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(namespaceDir, bare), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	for _, ns := range n.open {
		ns.Close()
	}
	if err := sweep(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]bool{dead: false, bare: false, alive: true} {
		if _, err := os.Stat(filepath.Join(namespaceDir, name)); (err == nil) != want {
			t.Errorf("%s: %v, should be there: %v", name, err, want)
		}
	}
	if out, err := exec.Command("ip", "netns", "del", alive).CombinedOutput(); err != nil {
		t.Errorf("%v: %s(needs the package iproute2)", err, out)
	}
}
