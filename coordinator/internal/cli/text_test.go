package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/workflow"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func environmentOf(name, user, text string, version int) registered {
	var e registered
	e.Name, e.User, e.Version = name, user, version
	e.Description.Description = text
	return e
}

func TestListing(t *testing.T) {
	golden(t, "listing.txt", listing([]registered{
		environmentOf("debian12-min", "deploy", "Debian 12", 2024070516),
		environmentOf("debian12-min", "root", "a description that is much longer than the line can be", 1),
		environmentOf("a name that is longer than its column", "somebody-with-a-name", "and a description", 12),
		environmentOf("é ü", "x", "", 1),
	}))
	if got := listing(nil); got != "No environment has been found\n" {
		t.Errorf("empty list = %q", got)
	}
}

func TestRightsTable(t *testing.T) {
	golden(t, "rights.txt", rightsTable(map[string]map[string][]string{
		"bob": {"node-10.lab": {"/dev/sda3"}, "node-9.lab": {"*"}},
		"al":  {"*": {"/dev/sda2", "/dev/sda3"}},
	}))
}

func TestServerInfo(t *testing.T) {
	i := info{
		PXE: "PXElinux",
		Automata: map[string]map[string][]infoInstance{
			"nova":    {"SetDeploymentEnv": {{"SetDeploymentEnvUntrusted", 1, 600}}, "BroadcastEnv": {{"BroadcastEnvKascade", 0, 1000}}, "BootNewEnv": {{"BootNewEnvKexec", 0, 150}, {"BootNewEnvHardReboot", 0, 600}}},
			"hercule": {"SetDeploymentEnv": {{"SetDeploymentEnvUntrusted", 1, 600}}},
		},
		Systems: map[string][]string{"nova": {"ext2", "ext3"}, "hercule": nil},
		Vars:    strings.Fields(strings.Repeat("KADEPLOY_CLUSTER KADEPLOY_ENV ", 4)),
	}
	golden(t, "info.txt", i.text())
}

func result() *client.Result {
	return &client.Result{
		Elapsed: 268 * time.Second,
		OK:      []client.Node{{Name: "node-1.lab", State: "ok"}, {Name: "node-2.lab", State: "brk"}},
		KO: []client.Node{
			{Name: "node-3.lab", State: "ko", Error: "BroadcastEnvKascade-send_environment: disk full\nnode-9.lab"},
			{Name: "node-4.lab", State: "ko"},
		},
	}
}

func TestTextReport(t *testing.T) {
	var out, errs bytes.Buffer
	op := client.Operation{ID: "D-1"}
	for _, w := range []words{
		{"deployment", "Deployment", "deployment"},
		{"reboot", "Reboot operation", "reboot operation"},
		{"power", "Power operation", "power operation"},
	} {
		rep := &textReport{words: w, out: &out, errs: &errs}
		rep.started(op, nil)
		rep.Line(workflow.Line{Text: "  switch_pxe"})
		rep.Debug(workflow.Line{Text: "COMMAND: x"})
		rep.ended(op, result())
		rep.failed(op, os.ErrNotExist, 1)
	}
	golden(t, "report.txt", out.String())
	if got := errs.String(); got != strings.Repeat("file does not exist\n", 3) {
		t.Errorf("stderr = %q", got)
	}
}

func TestJSONReport(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(1700000000, 0)
	op := client.Operation{ID: "D-1"}
	rep := &jsonReport{words: words{kind: "deployment"}, enc: json.NewEncoder(&out)}
	rep.started(op, []string{"node-1.lab"})
	rep.Line(workflow.Line{Time: at, Text: "a \"b\""})
	rep.Debug(workflow.Line{Time: at, Text: "c"})
	rep.ended(op, result())
	rep.timeline([]workflow.Span{{Node: "node-1.lab", Cluster: "lab", Macro: "BroadcastEnv", Instance: "BroadcastEnvKascade", Micro: "send_environment", Queued: at, Started: at, Ended: at.Add(1500 * time.Millisecond)}}, 3000)
	rep.failed(op, os.ErrNotExist, 1)
	golden(t, "report.json", out.String())
	for line := range strings.Lines(out.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil || v["type"] == nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestTimeline(t *testing.T) {
	at := time.Unix(1700000000, 0)
	span := func(node, instance, micro string, attempt int, from, to time.Duration) workflow.Span {
		return workflow.Span{Node: node, Instance: instance, Micro: micro, Attempt: attempt, Started: at.Add(from), Ended: at.Add(to)}
	}
	spans := []workflow.Span{
		span("node-2.lab", "BroadcastEnvKascade", "send_environment", 0, 9*time.Second, 19*time.Second),
		span("node-1.lab", "SetDeploymentEnvUntrusted", "reboot", 0, 0, time.Second),
		span("node-2.lab", "SetDeploymentEnvUntrusted", "reboot", 0, 0, 2500*time.Millisecond),
		span("node-1.lab", "SetDeploymentEnvUntrusted", "reboot", 1, 3*time.Second, 4*time.Second),
		{Node: "node-1.lab", Instance: "x", Micro: "still_running", Started: at},
	}
	var few, many bytes.Buffer
	writeTimeline(&few, spans)
	golden(t, "timeline-few.txt", few.String())
	for i := range 7 {
		spans = append(spans, span("n-"+string(rune('1'+i))+".lab", "BroadcastEnvKascade", "send_environment", 0, 9*time.Second, time.Duration(10+i)*time.Second))
	}
	writeTimeline(&many, spans)
	golden(t, "timeline-many.txt", many.String())
}
