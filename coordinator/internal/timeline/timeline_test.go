package timeline

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/workflow"
)

var update = flag.Bool("update", false, "rewrite testdata")

var zero = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// run makes the spans of a deployment: node by node the ends of each stay, in seconds.
type run struct{ spans []workflow.Span }

func at(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }

func (r *run) stay(node, instance, micro string, ready, start, end float64, failure string) {
	s := workflow.Span{
		Node: node, Cluster: "lab", Macro: instance[:strings.IndexAny(instance, "UKC")], Instance: instance, Micro: micro,
		Queued: at(ready), Started: at(start), Error: failure,
	}
	if end > 0 {
		s.Ended = at(end)
	}
	r.spans = append(r.spans, s)
}

// oneSlow is a deployment in which node-2 boots slowly and everybody waits for it.
func oneSlow() []workflow.Span {
	var r run
	for i, boot := range []float64{12, 31, 13} {
		n := fmt.Sprintf("node-%d.lab", i+1)
		r.stay(n, "SetDeploymentEnvUntrusted", "reboot", 0, 0, 1, "")
		r.stay(n, "SetDeploymentEnvUntrusted", "wait_reboot", 1, 1, boot, "")
		r.stay(n, "BroadcastEnvKascade", "send_environment", boot, 31, 40, "")
	}
	r.stay("node-1.lab", "BootNewEnvKexec", "kexec", 40, 40, 41, "")
	r.stay("node-1.lab", "BootNewEnvKexec", "wait_reboot", 41, 41, 60, "")
	r.stay("node-2.lab", "BootNewEnvKexec", "kexec", 40, 40, 41.5, "kexec_load: no memory")
	r.stay("node-3.lab", "BootNewEnvKexec", "kexec", 40, 40, 41, "")
	r.stay("node-3.lab", "BootNewEnvKexec", "wait_reboot", 41, 41, 0, "")
	return r.spans
}

func TestCriticalPathGoesThroughWhomOthersWaitedFor(t *testing.T) {
	c := New(oneSlow()[:9], at(40))
	var got []string
	for _, h := range c.Critical {
		got = append(got, fmt.Sprintf("%s %s %.0f-%.0f beyond %.0f", h.Node, c.Steps[h.Step].Micro,
			h.From.Sub(zero).Seconds(), h.To.Sub(zero).Seconds(), h.Beyond.Seconds()))
	}
	want := []string{
		"node-2.lab reboot 0-1 beyond 0",
		"node-2.lab wait_reboot 1-31 beyond 18",
		"node-1.lab send_environment 31-40 beyond 0",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("critical path (-want +got):\n%s", d)
	}
	if held := c.Held(); held[0].Node != "node-2.lab" || held[0].Took != 30*time.Second || len(held) != 3 {
		t.Errorf("Held = %+v, want 30 s of node-2 first", held)
	}
}

// The critical path covers the time from begin to end without gaps, whatever the order of the spans.
func TestCriticalPathIsWhole(t *testing.T) {
	spans := oneSlow()
	for i := range spans {
		spans[i], spans[(i*7)%len(spans)] = spans[(i*7)%len(spans)], spans[i]
	}
	c := New(spans, at(70))
	if len(c.Critical) == 0 || !c.Critical[0].From.Equal(c.Begin) || !c.Critical[len(c.Critical)-1].To.Equal(c.End) {
		t.Fatalf("the path %+v does not go from %v to %v", c.Critical, c.Begin, c.End)
	}
	for i := 1; i < len(c.Critical); i++ {
		if !c.Critical[i].From.Equal(c.Critical[i-1].To) {
			t.Errorf("after %+v comes %+v", c.Critical[i-1], c.Critical[i])
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// A stay that began with a queue is drawn as such, and measured whole: it is the
// step that took the time.
func TestQueue(t *testing.T) {
	var r run
	r.stay("node-1.lab", "SetDeploymentEnvUntrusted", "reboot", 0, 0, 10, "")
	r.stay("node-2.lab", "SetDeploymentEnvUntrusted", "reboot", 0, 0, 10, "")
	r.spans[1].Begun = at(6)
	c := New(r.spans, at(10))
	if got := string(c.draw(&c.Rows[1], 10)); got != "------AAAA" {
		t.Errorf("the row is %q", got)
	}
	if got := string(c.draw(&c.Rows[0], 10)); got != "AAAAAAAAAA" {
		t.Errorf("the row without a queue is %q", got)
	}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := New(oneSlow(), at(62)).WriteText(&b, 90, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "slow.txt", b.String())
}

func TestTextOfMany(t *testing.T) {
	var r run
	for i := range 100 {
		end := 1 + float64(i%10)/10
		if i == 77 {
			end = 20
		}
		r.stay(fmt.Sprintf("node-%d.lab", i+1), "BootNewEnvKexec", "kexec", 0, 0, end, "")
	}
	var few, all bytes.Buffer
	New(r.spans, at(20)).WriteText(&few, 80, false)
	New(r.spans, at(20)).WriteText(&all, 80, true)
	if n := strings.Count(few.String(), "|"); n != maxRows {
		t.Errorf("%d rows are drawn, want %d", n, maxRows)
	}
	if !strings.Contains(few.String(), "node-78.lab ") {
		t.Error("the node that ended last is not among those that are drawn")
	}
	if n := strings.Count(all.String(), "|"); n != 100 {
		t.Errorf("%d rows are drawn of all, want 100", n)
	}
}

func TestNothing(t *testing.T) {
	var b bytes.Buffer
	c := New(nil, zero)
	if err := errors.Join(c.WriteText(&b, 80, false), c.WriteSVG(&b, "x")); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "No node was in any step.\n<svg") {
		t.Errorf("a chart of nothing = %q", b.String())
	}
}

func TestSVG(t *testing.T) {
	var b bytes.Buffer
	if err := New(oneSlow(), at(62)).WriteSVG(&b, "D-1 <b> & more"); err != nil {
		t.Fatal(err)
	}
	golden(t, "slow.svg", b.String())
	for d := xml.NewDecoder(&b); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
}
