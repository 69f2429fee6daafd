package metrics

import (
	"context"
	"errors"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kadeploy/coordinator/internal/workflow"
)

func sources(err error) Sources {
	return Sources{
		Running: func() map[string]int { return map[string]int{"deployment": 2} },
		Agents:  func() int { return 7 },
		Nodes: func(context.Context) (map[string]map[string]int, error) {
			return map[string]map[string]int{"lab": {"deployed": 3, "never_used": 1}}, err
		},
		Windows: func() map[string]Window { return map[string]Window{"reboot": {50, 12, 3}} },
	}
}

func scrape(t *testing.T, m *Metrics, want int) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != want {
		t.Fatalf("status %d, want %d: %s", w.Code, want, w.Body)
	}
	return w.Body.String()
}

// values are the samples of our own metrics without the buckets.
func values(text string) []string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "kadeploy_") && !strings.Contains(line, "_bucket{") && !strings.HasSuffix(line, " 0") {
			out = append(out, line)
		}
	}
	return out
}

func TestWhatIsCounted(t *testing.T) {
	m := New("1.2", sources(nil))
	begin := time.Unix(1_700_000_000, 0)
	m.Ended(workflow.View{Kind: workflow.Deploy, OK: []string{"a", "b"}, KO: []string{"c"}, Elapsed: time.Minute})
	m.Ended(workflow.View{Kind: workflow.Reboot, OK: []string{"a"}, Elapsed: 30 * time.Second})
	m.Ended(workflow.View{Kind: workflow.Power, KO: []string{"a"}, Elapsed: time.Second})
	m.Ended(workflow.View{Kind: workflow.Deploy, KO: []string{"a"}, Failure: &workflow.Failure{}})
	m.Left(workflow.Span{Cluster: "lab", Instance: "BootNewEnvKexec", Micro: "kexec", Started: begin, Ended: begin.Add(3 * time.Second)})
	m.Left(workflow.Span{Cluster: "lab", Instance: "BootNewEnvKexec", Micro: "kexec", Started: begin, Ended: begin.Add(time.Second), Error: "no"})
	m.Broadcast(1000, 1010, 3, 2*time.Second)
	m.Broadcast(1000, 10, 0, time.Second) // nobody got it: no rate
	m.Journalled(5, time.Millisecond)
	want := []string{
		"kadeploy_agents_connected 7",
		"kadeploy_broadcast_rate_bytes_per_second_sum 500",
		"kadeploy_broadcast_rate_bytes_per_second_count 1",
		"kadeploy_broadcast_received_bytes_total 3000",
		"kadeploy_broadcast_sent_bytes_total 1020",
		`kadeploy_build_info{version="1.2"} 1`,
		"kadeploy_journal_append_seconds_sum 0.001",
		"kadeploy_journal_append_seconds_count 1",
		"kadeploy_journal_transitions_total 5",
		`kadeploy_nodes{cluster="lab",state="deployed"} 3`,
		`kadeploy_nodes{cluster="lab",state="never_used"} 1`,
		`kadeploy_operation_duration_seconds_sum{kind="deployment"} 60`,
		`kadeploy_operation_duration_seconds_count{kind="deployment"} 2`,
		`kadeploy_operation_duration_seconds_sum{kind="power"} 1`,
		`kadeploy_operation_duration_seconds_count{kind="power"} 1`,
		`kadeploy_operation_duration_seconds_sum{kind="reboot"} 30`,
		`kadeploy_operation_duration_seconds_count{kind="reboot"} 1`,
		`kadeploy_operation_nodes_total{kind="deployment",result="ko"} 2`,
		`kadeploy_operation_nodes_total{kind="deployment",result="ok"} 2`,
		`kadeploy_operation_nodes_total{kind="power",result="ko"} 1`,
		`kadeploy_operation_nodes_total{kind="reboot",result="ok"} 1`,
		`kadeploy_operations_running{kind="deployment"} 2`,
		`kadeploy_operations_total{kind="deployment",result="error"} 1`,
		`kadeploy_operations_total{kind="deployment",result="partial"} 1`,
		`kadeploy_operations_total{kind="power",result="failed"} 1`,
		`kadeploy_operations_total{kind="reboot",result="ok"} 1`,
		`kadeploy_step_duration_seconds_sum{cluster="lab",instance="BootNewEnvKexec",result="ko",step="kexec"} 1`,
		`kadeploy_step_duration_seconds_count{cluster="lab",instance="BootNewEnvKexec",result="ko",step="kexec"} 1`,
		`kadeploy_step_duration_seconds_sum{cluster="lab",instance="BootNewEnvKexec",result="ok",step="kexec"} 3`,
		`kadeploy_step_duration_seconds_count{cluster="lab",instance="BootNewEnvKexec",result="ok",step="kexec"} 1`,
		`kadeploy_window_occupied{window="reboot"} 12`,
		`kadeploy_window_size{window="reboot"} 50`,
		`kadeploy_window_waiting{window="reboot"} 3`,
	}
	text := scrape(t, m, 200)
	if d := cmp.Diff(want, values(text)); d != "" {
		t.Errorf("metrics (-want +got):\n%s", d)
	}
	if !strings.Contains(text, "\nprocess_resident_memory_bytes ") || !strings.Contains(text, "\ngo_goroutines ") {
		t.Error("the process's own metrics are missing")
	}
	if problems, err := testutil.GatherAndLint(m.registry); err != nil || len(problems) > 0 {
		t.Errorf("names and helps: %v, %v", problems, err)
	}
}

func TestAStoreThatFailsIsTold(t *testing.T) {
	text := scrape(t, New("1", sources(errors.New("disk full"))), 500)
	if !regexp.MustCompile("disk full").MatchString(text) {
		t.Errorf("answer = %q", text)
	}
}

// TestNamesOfOperationsAreNoLabels: users choose them.
func TestNamesOfOperationsAreNoLabels(t *testing.T) {
	m := New("1.2", sources(nil))
	at := time.Unix(1_700_000_000, 0)
	for _, name := range []string{"secret project", "a-b"} {
		m.Left(workflow.Span{Cluster: "lab", Instance: "SetDeploymentEnvUntrusted", Micro: "reboot-" + name, Started: at, Ended: at.Add(time.Second)})
	}
	text := scrape(t, m, 200)
	if strings.Contains(text, "secret") || !strings.Contains(text, `step="reboot-operation"} 2`) {
		t.Errorf("operations of users in the metrics:\n%s", text)
	}
}
