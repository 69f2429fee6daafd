package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// epoch is when the first operation of the tests started.
var epoch = time.Unix(1_700_000_000, 0)

// logged is a row of an operation that started some seconds after epoch.
func logged(wid, node string, after int, change func(r *stats.Row)) stats.Row {
	r := stats.Row{
		Workflow: wid, User: "alice", Node: node, Cluster: "lab", Start: epoch.Add(time.Duration(after) * time.Second), Success: true,
		Steps: [3]stats.Step{
			{Name: "SetDeploymentEnvUntrusted", Timeout: 200 * time.Second, Duration: 61500 * time.Millisecond},
			{Name: "BroadcastEnvKascade", Timeout: 300 * time.Second, Duration: 20 * time.Second},
			{Name: "BootNewEnvKexec", Timeout: 150 * time.Second, Duration: 10 * time.Second},
		},
		Env: "debian:1", EnvOwner: "root",
	}
	if change != nil {
		change(&r)
	}
	return r
}

// keep writes records as the end of workflows does.
func keep(t *testing.T, s *Store, records ...stats.Record) {
	t.Helper()
	j := s.Journal()
	for i := range records {
		id := records[i].Rows[0].Workflow
		if err := j.Begin(t.Context(), &workflow.Request{ID: id}); err != nil {
			t.Fatal(err)
		}
		if err := j.End(t.Context(), id, &records[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// journal of three deployments, a reboot and a power operation.
func someLog(t *testing.T) *Store {
	t.Helper()
	s := open(t)
	failed := func(r *stats.Row) {
		r.Success, r.Error, r.Steps[1].Retries = false, `BroadcastEnvKascade-send_environment: "no, route"`, 2
		r.Steps[2] = stats.Step{}
	}
	other := func(step, user string) func(r *stats.Row) {
		return func(r *stats.Row) {
			r.User, r.Env, r.EnvOwner, r.Steps = user, "", "", [3]stats.Step{{Name: step, Duration: 3 * time.Second}}
		}
	}
	keep(t, s,
		stats.Record{Rows: []stats.Row{logged("D-1", "n1.lab", 0, nil), logged("D-1", "n2.lab", 0, failed)}},
		stats.Record{Rows: []stats.Row{logged("R-1", "n1.lab", 10, other("Simple", "bob"))}},
		stats.Record{Rows: []stats.Row{logged("D-2", "n2.lab", 20, func(r *stats.Row) { r.Anonymous = true }), logged("D-2", "n1.lab", 20, func(r *stats.Row) { r.Steps[0].Retries = 1 })}},
		stats.Record{Rows: []stats.Row{logged("P-1", "n1.lab", 30, other("Off", "carol"))}},
	)
	return s
}

func lines(t *testing.T, s *Store, q stats.Query) []string {
	t.Helper()
	var all []string
	err := s.LogRows(t.Context(), q, func(fields []string) error {
		all = append(all, strings.Join(fields, " "))
		return nil
	})
	if err != nil {
		t.Fatalf("LogRows(%+v): %v", q, err)
	}
	return all
}

func TestLogRows(t *testing.T) {
	s := someLog(t)
	short := []string{"wid", "hostname"}
	at := func(after int) time.Time { return epoch.Add(time.Duration(after) * time.Second) }
	for _, test := range []struct {
		name string
		q    stats.Query
		want string
	}{
		{"all, by start", stats.Query{}, "D-1 n1.lab, D-1 n2.lab, R-1 n1.lab, D-2 n2.lab, D-2 n1.lab, P-1 n1.lab"},
		{"deployments", stats.Query{Operation: "deploy"}, "D-1 n1.lab, D-1 n2.lab, D-2 n2.lab, D-2 n1.lab"},
		{"reboots", stats.Query{Operation: "reboot"}, "R-1 n1.lab"},
		{"power", stats.Query{Operation: "power"}, "P-1 n1.lab"},
		{"nodes", stats.Query{Nodes: []string{"n2.lab", "n9.lab"}}, "D-1 n2.lab, D-2 n2.lab"},
		{"workflow", stats.Query{Workflow: "D-1"}, "D-1 n1.lab, D-1 n2.lab"},
		{"workflows are no patterns", stats.Query{Workflow: "D-%"}, ""},
		{"from", stats.Query{From: at(20)}, "D-2 n2.lab, D-2 n1.lab, P-1 n1.lab"},
		{"to", stats.Query{To: at(10)}, "D-1 n1.lab, D-1 n2.lab, R-1 n1.lab"},
		{"from and to", stats.Query{From: at(10), To: at(10)}, "R-1 n1.lab"},
		{"retries of any step", stats.Query{MinRetries: 1}, "D-1 n2.lab, D-2 n1.lab"},
		{"two retries", stats.Query{MinRetries: 2}, "D-1 n2.lab"},
		{"retries of step 1", stats.Query{MinRetries: 1, RetrySteps: []int{1}}, "D-2 n1.lab"},
		{"retries of steps 1 and 3", stats.Query{MinRetries: 1, RetrySteps: []int{1, 3}}, "D-2 n1.lab"},
		{"limit", stats.Query{Limit: 2}, "D-1 n1.lab, D-1 n2.lab"},
		{"newest first", stats.Query{Sort: []string{"-start"}, Limit: 2}, "P-1 n1.lab, D-2 n1.lab"},
		{"by node, then by time, backwards", stats.Query{Sort: []string{"hostname", "-start"}}, "P-1 n1.lab, D-2 n1.lab, R-1 n1.lab, D-1 n1.lab, D-2 n2.lab, D-1 n2.lab"},
		{"all at once", stats.Query{Operation: "deploy", Nodes: []string{"n1.lab"}, From: at(1), MinRetries: 1, Limit: 9, Sort: []string{"-success"}}, "D-2 n1.lab"},
	} {
		test.q.Fields = short
		if got := strings.Join(lines(t, s, test.q), ", "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestLogFields(t *testing.T) {
	s := someLog(t)
	got := lines(t, s, stats.Query{Workflow: "D-1"})
	want := []string{
		"D-1 alice n1.lab SetDeploymentEnvUntrusted BroadcastEnvKascade BootNewEnvKexec 200 300 150 0 0 0 1700000000 62 20 10 debian:1  true ",
		`D-1 alice n2.lab SetDeploymentEnvUntrusted BroadcastEnvKascade  200 300 0 0 2 0 1700000000 62 20 0 debian:1  false BroadcastEnvKascade-send_environment: "no, route"`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got = lines(t, s, stats.Query{Fields: []string{"error", "hostname", "anonymous_env", "cluster"}, Workflow: "D-2"})
	if d := cmp.Diff([]string{" n2.lab true lab", " n1.lab false lab"}, got); d != "" {
		t.Error(d)
	}
}

func TestLogRowsRefuses(t *testing.T) {
	s := open(t)
	for _, q := range []stats.Query{
		{Operation: "format"}, {Fields: []string{"id"}}, {Fields: []string{"wid FROM rights --"}}, {Sort: []string{"start;"}}, {Sort: []string{"--start"}},
		{RetrySteps: []int{4}}, {Limit: -1}, {MinRetries: -1}, {From: epoch, To: epoch.Add(-time.Second)},
	} {
		var wrong *stats.QueryError
		if err := s.LogRows(t.Context(), q, nil); !errors.As(err, &wrong) {
			t.Errorf("LogRows(%+v) = %v, want a QueryError", q, err)
		}
	}
	stop := errors.New("stop")
	keep(t, s, stats.Record{Rows: []stats.Row{logged("D-1", "n1", 0, nil)}})
	if err := s.LogRows(t.Context(), stats.Query{}, func([]string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("LogRows = %v, want what the callback returned", err)
	}
}

func TestFailureRates(t *testing.T) {
	s := someLog(t)
	for _, test := range []struct {
		q     stats.Query
		least float64
		want  string
	}{
		{stats.Query{}, 0, "n1.lab 0.0 of 4, n2.lab 0.5 of 2"},
		{stats.Query{}, 0.5, "n2.lab 0.5 of 2"},
		{stats.Query{}, 0.6, ""},
		{stats.Query{Operation: "deploy"}, 0, "n1.lab 0.0 of 2, n2.lab 0.5 of 2"},
		{stats.Query{Nodes: []string{"n1.lab"}}, 0, "n1.lab 0.0 of 4"},
		{stats.Query{To: epoch}, 0, "n1.lab 0.0 of 1, n2.lab 1.0 of 1"},
		{stats.Query{MinRetries: 1}, 0, "n1.lab 0.0 of 1, n2.lab 1.0 of 1"},
	} {
		rates, err := s.FailureRates(t.Context(), test.q, test.least)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rates {
			got = append(got, fmt.Sprintf("%s %s of %d", r.Node, r.Rate, r.All))
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("FailureRates(%+v, %v) = %s, want %s", test.q, test.least, strings.Join(got, ", "), test.want)
		}
	}
}

func TestLogCanBeSwitchedOff(t *testing.T) {
	s := open(t)
	j := s.Journal()
	j.NoLog = true
	if err := j.Begin(t.Context(), &workflow.Request{ID: "D-1"}); err != nil {
		t.Fatal(err)
	}
	if err := j.End(t.Context(), "D-1", &stats.Record{Rows: []stats.Row{logged("D-1", "n1", 0, nil)}}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "log"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

// The end of a workflow and its rows are one: neither is there without the other.
func TestEndAndRowsAreOne(t *testing.T) {
	s := open(t)
	j := s.Journal()
	if err := j.Begin(t.Context(), &workflow.Request{ID: "D-1"}); err != nil {
		t.Fatal(err)
	}
	row := logged("D-1", "n1", 0, nil)
	if err := j.End(t.Context(), "D-1", &stats.Record{Rows: []stats.Row{row, row}}); err == nil {
		t.Fatal("the same node twice in one workflow was written")
	}
	unfinished, err := j.Unfinished(t.Context())
	if err != nil || len(unfinished) != 1 || count(t, s, "log") != 0 {
		t.Errorf("%d workflows are unfinished (%v), %d rows were written; want 1 and 0", len(unfinished), err, count(t, s, "log"))
	}
}

func TestLogSummary(t *testing.T) {
	s := open(t)
	for i := range 10 {
		wid := fmt.Sprintf("D-%d", i)
		rows := []stats.Row{
			logged(wid, "n1", i, func(r *stats.Row) { r.Steps[0].Duration = time.Duration(50+i) * time.Second }),
			logged(wid, "n2", i, func(r *stats.Row) {
				r.Cluster, r.Env = "big", fmt.Sprintf("ubuntu:%d", i%2)
				if i < 4 {
					r.Success, r.Steps[2] = false, stats.Step{}
				}
			}),
		}
		keep(t, s, stats.Record{Rows: rows, Micros: []stats.Micro{
			{Cluster: "lab", Macro: "SetDeploymentEnv", Instance: "SetDeploymentEnvUntrusted", Name: "reboot", Seconds: []float64{float64(i), 2 * float64(i)}},
			{Cluster: "lab", Macro: "BroadcastEnv", Instance: "BroadcastEnvKascade", Name: "send_environment", Seconds: []float64{9}, Failed: 1},
		}})
	}
	got, err := s.LogSummary(t.Context(), stats.Period{From: epoch, To: epoch.Add(time.Hour), Operation: "deploy"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Workflows != 10 || got.All.Nodes != 20 || got.All.Success.String() != "0.8" {
		t.Errorf("%d workflows, %d nodes, %s; want 10, 20, 0.8", got.Workflows, got.All.Nodes, got.All.Success)
	}
	// 1.5 seconds less than the successes of the first step, which take 50 to 59 and 61.5.
	want := []stats.Group{
		{Name: "big", Nodes: 10, Success: 0.6, Spread: stats.Spread{P50: 91.5, P90: 91.5, Max: 91.5}},
		{Name: "lab", Nodes: 10, Success: 1, Spread: stats.Spread{P50: 84, P90: 88, Max: 89}},
	}
	if d := cmp.Diff(want, got.Clusters); d != "" {
		t.Error(d)
	}
	var names []string
	for _, e := range got.Environments {
		names = append(names, fmt.Sprintf("%s %d", e.Name, e.Nodes))
	}
	for _, st := range got.Steps {
		names = append(names, fmt.Sprintf("%d %s %d %s", st.Macro, st.Name, st.Nodes, st.Success))
		for _, m := range st.Micros {
			names = append(names, fmt.Sprintf("%s %d %s %v", m.Name, m.Nodes, m.Success, m.Spread))
		}
	}
	if d := cmp.Diff([]string{
		"debian:1 10", "ubuntu:0 5", "ubuntu:1 5",
		"1 SetDeploymentEnvUntrusted 20 1.0", "reboot 20 1.0 {6 14 18}",
		"2 BroadcastEnvKascade 20 0.8", "send_environment 20 0.5 {9 9 9}",
		"3 BootNewEnvKexec 16 1.0",
	}, names); d != "" {
		t.Error(d)
	}
	for env, nodes := range map[string]int{"ubuntu": 10, "ubuntu:1": 5, "ubunt": 0, "debian": 10} {
		got, err := s.LogSummary(t.Context(), stats.Period{From: epoch, To: epoch.Add(time.Hour), Operation: "deploy", Env: env})
		if err != nil || got.All.Nodes != nodes {
			t.Errorf("summary of %s: %d nodes, %v; want %d", env, got.All.Nodes, err, nodes)
		}
	}
	none, err := s.LogSummary(t.Context(), stats.Period{From: epoch.Add(time.Hour), To: epoch.Add(2 * time.Hour), Operation: "deploy"})
	if err != nil || none.All.Nodes != 0 || none.Steps == nil {
		t.Errorf("summary of nothing: %+v, %v", none, err)
	}
}

func TestExpected(t *testing.T) {
	s := open(t)
	micro := func(name string, seconds ...float64) stats.Micro {
		return stats.Micro{Cluster: "lab", Macro: "BroadcastEnv", Instance: "BroadcastEnvKascade", Name: name, Seconds: seconds}
	}
	keep(t, s,
		stats.Record{Rows: []stats.Row{logged("D-old", "n1", 0, nil)}, Micros: []stats.Micro{micro("send_environment", 1000, 1000, 1000, 1000)}},
		stats.Record{Rows: []stats.Row{logged("D-env", "n1", 1, func(r *stats.Row) { r.Env = "debian:2" })}, Micros: []stats.Micro{micro("send_environment", 500)}},
		stats.Record{Rows: []stats.Row{logged("D-anon", "n1", 1, func(r *stats.Row) { r.Anonymous = true })}, Micros: []stats.Micro{micro("send_environment", 400)}},
	)
	for i := range lately {
		failed := micro("sync")
		failed.Failed = 1
		keep(t, s, stats.Record{Rows: []stats.Row{logged(fmt.Sprintf("D-%d", i), "n1", 10+i, nil)}, Micros: []stats.Micro{micro("send_environment", float64(i), float64(i)), failed}})
	}
	ask := stats.Passage{Cluster: "lab", Env: "debian:1", EnvOwner: "root", Instance: "BroadcastEnvKascade", Micro: "send_environment"}
	for _, test := range []struct {
		name   string
		change func(p *stats.Passage)
		want   stats.Expectation
	}{
		{"the last ones", func(*stats.Passage) {}, stats.Expectation{Seconds: 9, Operations: lately}},
		{"another environment", func(p *stats.Passage) { p.Env = "debian:2" }, stats.Expectation{Seconds: 500, Operations: 1}},
		{"an anonymous one", func(p *stats.Passage) { p.Anonymous = true }, stats.Expectation{Seconds: 400, Operations: 1}},
		{"another owner", func(p *stats.Passage) { p.EnvOwner = "alice" }, stats.Expectation{}},
		{"another cluster", func(p *stats.Passage) { p.Cluster = "big" }, stats.Expectation{}},
		{"another instance", func(p *stats.Passage) { p.Instance = "BroadcastEnvCustom" }, stats.Expectation{}},
		{"only failures", func(p *stats.Passage) { p.Micro = "sync" }, stats.Expectation{}},
	} {
		p := ask
		test.change(&p)
		got, err := s.Expected(t.Context(), p)
		if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
	plan := planOf(t, s, expectQuery, []any{"", "", "", false, "", "", 1})
	if !strings.Contains(plan, "USING INDEX log_micro_by_env") || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("the plan is %q", plan)
	}
}

// Every question that users ask of a long log is answered by an index.
func TestLogPlans(t *testing.T) {
	s := open(t)
	for _, test := range []struct {
		name  string
		q     stats.Query
		rates bool
		index string
		sorts bool // sorting is allowed
	}{
		{"all", stats.Query{}, false, "log_by_start", false},
		{"newest", stats.Query{Sort: []string{"-start"}, Limit: 10}, false, "log_by_start", false},
		{"operation", stats.Query{Operation: "power"}, false, "log_by_operation", false},
		{"node", stats.Query{Nodes: []string{"n1"}}, false, "log_by_hostname", true},
		{"nodes and dates", stats.Query{Nodes: []string{"n1", "n2"}, From: epoch, To: epoch}, false, "log_by_hostname", true},
		{"workflow", stats.Query{Workflow: "D-1"}, false, "sqlite_autoindex_log_1", true},
		{"dates", stats.Query{From: epoch, To: epoch}, false, "log_by_start", false},
		{"retries", stats.Query{MinRetries: 3}, false, "log_by_retries", true},
		{"rates", stats.Query{}, true, "COVERING INDEX log_by_hostname", false},
		{"rates of deployments", stats.Query{Operation: "deploy"}, true, "COVERING INDEX log_by_hostname", false},
		{"rates since", stats.Query{Nodes: []string{"n1"}, Operation: "deploy", From: epoch}, true, "COVERING INDEX log_by_hostname", false},
	} {
		query, args, err := logQuery(test.q)
		if test.rates {
			query, args, err = ratesQuery(test.q)
		}
		if err != nil {
			t.Fatal(err)
		}
		plan := planOf(t, s, query, args)
		if !strings.Contains(plan, test.index) || strings.Contains(plan, "TEMP B-TREE") && !test.sorts {
			t.Errorf("%s: the plan is %q, want %s", test.name, plan, test.index)
		}
	}
}

func planOf(t *testing.T, s *Store, query string, args []any) string {
	t.Helper()
	rows, err := s.writer.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil || !slices.ContainsFunc(steps, func(s string) bool { return s != "" }) {
		t.Fatalf("no plan for %s: %v", query, err)
	}
	return strings.Join(steps, "; ")
}

// containsScan tells whether a plan reads a whole table; lists of a statement's own do not count.
func containsScan(plan string) bool {
	for step := range strings.SplitSeq(plan, "; ") {
		if strings.HasPrefix(step, "SCAN ") && !strings.HasPrefix(step, "SCAN json_each") {
			return true
		}
	}
	return false
}
