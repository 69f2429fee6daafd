package bench

import (
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// figuresOf makes figures of runs that took so many seconds each, on two nodes.
func figuresOf(c Case, iperf float64, elapsed ...float64) *Figures {
	f := newFigures(&c, &Bench{})
	for _, s := range elapsed {
		d := time.Duration(s * float64(time.Second))
		rate := float64(c.Size) / s
		f.add(&Run{Elapsed: d, CPU: d, Hops: c.Nodes, Memory: 10 << 20, Rates: map[string]float64{"node-1": 2 * rate, "node-2": rate}}, false)
		f.hops = append(f.hops, hop{Rate: iperf, CPU: time.Second / 2, Size: 1 << 30})
	}
	f.sum()
	return f
}

func TestFigures(t *testing.T) {
	f := figuresOf(Case{Nodes: 2, Size: 1 << 30}, 1<<30, 4, 1, 2)
	if f.Elapsed != 2 || f.Rate != 1<<29 || f.RateMedian != 3<<28 || f.Goodput != 1<<29 || f.Runs != 3 {
		t.Errorf("elapsed %v, rate %v, median %v, goodput %v", f.Elapsed, f.Rate, f.RateMedian, f.Goodput)
	}
	// Two hops share the machine: half of iperf3's rate is all there is.
	if f.Share != 1 || f.CPU != 1 || f.CPURatio != 2 {
		t.Errorf("share %v, CPU %v, ratio %v", f.Share, f.CPU, f.CPURatio)
	}
	f = figuresOf(Case{Nodes: 2, Size: 1 << 30, Rate: 1 << 30}, 1<<30, 4, 1, 2)
	if f.Share != 0.5 {
		t.Errorf("share of a shaped line %v, want goodput ÷ iperf3", f.Share)
	}
	f = figuresOf(Case{Nodes: 2, Size: 1 << 30, SlowSinks: map[int]int64{2: 1}}, 1<<30, 1)
	if f.OthersRate != 2<<30 {
		t.Errorf("the others' rate %v is not node-1's", f.OthersRate)
	}
	if median([]float64{4, 1}) != 2.5 || median(nil) != 0 {
		t.Error("median of two, or of none")
	}
}

func TestSuite(t *testing.T) {
	all, err := Suite("all")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range all {
		if seen[r.Name] || len(r.Goals) == 0 {
			t.Errorf("%s: twice, or without a goal", r.Name)
		}
		seen[r.Name] = true
		if err := r.check(false); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	rows, err := Suite("kill,shaped")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff([]string{"kill", "shaped-4", "shaped-16", "shaped-64"}, names); diff != "" {
		t.Errorf("cases (-want +got):\n%s", diff)
	}
	if _, err := Suite("kill,none"); err == nil || !strings.Contains(err.Error(), "unshaped-16-verified") {
		t.Errorf("a case that is not there: %v", err)
	}
}

// TestReports: every form says the same.
func TestReports(t *testing.T) {
	rows, err := Suite("unshaped-8")
	if err != nil {
		t.Fatal(err)
	}
	var all []*Figures
	for _, r := range rows {
		all = append(all, figuresOf(r.Case, 8<<30, 2))
	}
	all[1].Wrong = []string{"node-7: its copy is not the source"}
	var table, goals bytes.Buffer
	if err := Table(&table, all); err != nil {
		t.Fatal(err)
	}
	if err := GoalTable(&goals, rows, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.50 ÷N", "WRONG", "right", "unshaped-8-verified, 8 nodes: node-7: its copy is not the source"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("table without %q:\n%s", want, &table)
		}
	}
	for _, want := range []string{"≥ 0.80  0.50      MISSED", "≥ 0.50  0.50      reached"} {
		if !strings.Contains(goals.String(), want) {
			t.Errorf("goals without %q:\n%s", want, &goals)
		}
	}
	b, err := json.Marshal(rows[0].With(all[0]))
	if err != nil {
		t.Fatal(err)
	}
	var line struct {
		Case  string
		Share float64
		Goals []GoalFigure
	}
	if err := json.Unmarshal(b, &line); err != nil || line.Case != "unshaped-8" || line.Share != 0.5 || len(line.Goals) != 2 || line.Goals[0].Met {
		t.Errorf("%v, %+v of %s", err, line, b)
	}
}

func TestPlot(t *testing.T) {
	var all []*Figures
	for _, n := range []int{8, 2, 4} {
		all = append(all, figuresOf(Case{Nodes: n, Size: 1 << 30}, 8<<30, 1), figuresOf(Case{Nodes: n, Size: 1 << 30, NoVerify: true}, 8<<30, 1))
	}
	lines, nodes := seriesOf(all)
	if diff := cmp.Diff([]int{2, 4, 8}, nodes); diff != "" || len(lines) != 3 || lines[2].at[8] != 1024 {
		t.Errorf("nodes %v, lines %v", nodes, lines)
	}
	path := filepath.Join(t.TempDir(), "plot.png")
	if err := Plot(path, all); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if p, err := png.DecodeConfig(f); err != nil || p.Width != plotWidth || p.Height != plotHeight {
		t.Errorf("picture of %v, %v", p, err)
	}
	if err := Plot(path, nil); err == nil {
		t.Error("a picture of nothing was drawn")
	}
}
