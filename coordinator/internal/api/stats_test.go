package api

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/store"
	"kadeploy/coordinator/internal/workflow"
)

// logOperations writes the end of operations into the rig's store.
func (r *rig) logOperations(rows ...stats.Row) {
	r.t.Helper()
	j := r.config.Stats.(*store.Store).Journal()
	for _, row := range rows {
		if err := j.Begin(r.t.Context(), &workflow.Request{ID: row.Workflow}); err != nil {
			r.t.Fatal(err)
		}
		if err := j.End(r.t.Context(), row.Workflow, &stats.Record{Rows: []stats.Row{row}}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func someRows() []stats.Row {
	row := func(wid, node string, after int, good bool) stats.Row {
		return stats.Row{
			Workflow: wid, User: "alice", Node: node, Cluster: "lab", Start: time.Unix(1_700_000_000+int64(after), 0), Success: good,
			Steps: [3]stats.Step{{Name: "SetDeploymentEnvDummy", Duration: 1600 * time.Millisecond}}, Env: "debian:2",
		}
	}
	failed := row("D-2", "node-2.lab", 60, false)
	failed.Steps[1].Retries = 1
	failed.Error = `BroadcastEnvKascade-send_environment: "a", b`
	reboot := row("R-3", "node-1.lab", 120, true)
	reboot.Steps[0].Name = "Simple"
	return []stats.Row{row("D-1", "node-1.lab", 0, true), failed, reboot, row("D-4", "gone.lab", 180, false)}
}

func TestStatsRows(t *testing.T) {
	r := newRig(t)
	r.logOperations(someRows()...)
	for query, want := range map[string]string{
		"":                                 "D-1 D-2 R-3 D-4",
		"?kind=all":                        "D-1 D-2 R-3 D-4",
		"/?":                               "D-1 D-2 R-3 D-4",
		"/deploy":                          "D-1 D-2 D-4",
		"/deployment?limit=1":              "D-1",
		"/reboot":                          "R-3",
		"/power":                           "",
		"?wid=D-2":                         "D-2",
		"?nodes=node-[1-2]":                "D-1 D-2 R-3", // short names, sets
		"?nodes=node-1.lab&nodes=gone.lab": "D-1 R-3 D-4",
		"?date_min=1700000060&date_max=1700000120":     "D-2 R-3",
		"?date_min=2023-11-14T22:14:20Z":               "D-2 R-3 D-4",
		"?min_retries=1":                               "D-2",
		"?min_retries=1&step_retries=1":                "",
		"?min_retries=1&step_retries=1&step_retries=2": "D-2",
		"?sort=hostname,-start":                        "D-4 R-3 D-1 D-2",
		"?sort=hostname&sort=start&limit=2":            "D-4 D-1",
		"?user=alice":                                  "D-1 D-2 R-3 D-4", // sent by several clients, means nothing
	} {
		w := r.call("bob", "GET", "/stats"+query, "", "Accept", "application/json")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
			t.Errorf("GET /stats%s = %d %s %s", query, w.Code, w.Header().Get("Content-Type"), w.Body)
			continue
		}
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, row := range rows {
			ids = append(ids, row[0])
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("GET /stats%s = %s, want %s", query, got, want)
		}
	}
}

func TestStatsText(t *testing.T) {
	r := newRig(t)
	r.logOperations(someRows()...)
	want := `D-2,alice,node-2.lab,SetDeploymentEnvDummy,,,0,0,0,0,1,0,1700000060,2,0,0,debian:2,,false,"BroadcastEnvKascade-send_environment: ""a"", b"` + "\n"
	if got := r.ok("bob", "GET", "/stats?wid=D-2", ""); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := r.ok("bob", "GET", "/stats?fields=hostname,success&fields=anonymous_env&wid=D-1", ""); got != "node-1.lab,true,false\n" {
		t.Error(got)
	}
	if got := r.ok("bob", "GET", "/stats", `{"fields":["wid"],"limit":1,"kind":"all"}`); got != "D-1\n" {
		t.Error(got)
	}
	w := r.call("bob", "GET", "/stats?wid=D-2", "", "Accept-Encoding", "gzip;q=1.0,deflate;q=0.6,identity;q=0.3")
	zr, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(zr); err != nil || string(text) != want || w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("gzip: %s, %v", text, err)
	}
}

func TestStatsRates(t *testing.T) {
	r := newRig(t)
	r.logOperations(someRows()...)
	for query, want := range map[string]string{
		"":                                `{"gone.lab": 1.0, "node-1.lab": 0.0, "node-2.lab": 1.0}`,
		"&min_failure_rate=0.5":           `{"gone.lab": 1.0, "node-2.lab": 1.0}`,
		"&nodes=node-1.lab":               `{"node-1.lab": 0.0}`,
		"&nodes=node-1.lab&wid=D-2":       `{}`,
		"&date_max=1700000000&kind=all":   "",
		"&date_max=1700000000&nodes=gone": `{}`,
	} {
		if want == "" {
			continue
		}
		got := strings.Join(strings.Fields(r.ok("bob", "GET", "/stats?kind=failure_rates"+query, "")), " ")
		got = strings.NewReplacer("{ ", "{", " }", "}").Replace(got)
		if got != want {
			t.Errorf("rates%s = %s, want %s", query, got, want)
		}
	}
	w := r.call("bob", "GET", "/stats/reboot?kind=failure_rates", "", "Accept", "application/x-yaml")
	if got := w.Body.String(); got != "---\nnode-1.lab: 0.0\n" {
		t.Errorf("in YAML: %q", got)
	}
	// A third is not a round number.
	row := someRows()[0]
	rows := []stats.Row{row, row, row}
	for i := range rows {
		rows[i].Workflow, rows[i].Node, rows[i].Success = fmt.Sprintf("P-%d", i), "node-10.lab", i > 0
	}
	r.logOperations(rows...)
	if got := r.ok("bob", "GET", "/stats/power?kind=failure_rates", ""); !strings.Contains(got, `"node-10.lab": 0.333`) {
		t.Error(got)
	}
}

func TestStatsRefusals(t *testing.T) {
	r := newRig(t)
	for query, want := range map[string]string{
		"/format":                       "404 ",
		"?kind=some":                    "400 4",
		"?fields=id":                    "400 4",
		"?sort=nothing":                 "400 4",
		"?limit=-1":                     "400 4",
		"?limit=some":                   "400 4",
		"?min_retries=x":                "400 4",
		"?step_retries=4&min_retries=1": "400 4",
		"?step_retries=x":               "400 4",
		"?date_min=tomorrowish":         "400 4",
		"?date_min=2024&date_max=2023":  "400 4",
		"?min_failure_rate=1.5":         "400 4",
		"?min_failure_rate=NaN":         "400 4",
		"?nodes=a[":                     "400 4",
		"/summary?operation=format":     "400 4",
		"/summary?since=now&until=2d":   "400 4",
	} {
		w := r.call("bob", "GET", "/stats"+query, "")
		if got := fmt.Sprintf("%d %s", w.Code, w.Header().Get("X-Application-Error-Code")); got != want {
			t.Errorf("GET /stats%s = %s %s, want %s", query, got, w.Body, want)
		}
	}
	if w := r.call("", "GET", "/stats", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("nobody gets %d", w.Code)
	}
	if w := r.call("bob", "POST", "/stats", "{}"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST gets %d", w.Code)
	}
	w := r.call("bob", "GET", "/stats?kind=failure_rates", "", "Accept", "image/png")
	if w.Code != http.StatusNotAcceptable {
		t.Errorf("rates as a picture: %d", w.Code)
	}
}

func TestStatsSummary(t *testing.T) {
	r := newRig(t)
	r.logOperations(someRows()...)
	var got stats.Summary
	if err := json.Unmarshal([]byte(r.ok("bob", "GET", "/stats/summary?since=2023-11-01&until=2023-12-01", "")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Workflows != 3 || got.All.Nodes != 3 || got.All.Success.String() != "0.333" || got.Clusters[0].P50 != 1.6 {
		t.Errorf("%+v", got)
	}
	if err := json.Unmarshal([]byte(r.ok("bob", "GET", "/stats/summary?env=debian", "")), &got); err != nil || got.All.Nodes != 0 {
		t.Errorf("of the last thirty days: %+v, %v", got, err)
	}
}

// What the engine does is found in the log.
func TestStatsOfARealDeployment(t *testing.T) {
	r := newRig(t)
	var order struct{ WID string }
	body := `{"nodes":["node-1.lab"],"environment":{"kind":"anonymous",` + description[1:] + `}`
	if err := json.Unmarshal([]byte(r.ok("root", "POST", "/deployment", body)), &order); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if strings.Contains(r.ok("root", "GET", "/deployment/"+order.WID, ""), `"done": true`) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	want := order.WID + ",root,node-1.lab,SetDeploymentEnvDummy,BroadcastEnvDummy,BootNewEnvDummy,debian:2,true,true,\n"
	if got := r.ok("root", "GET", "/stats?fields=wid,user,hostname,step1,step2,step3,env,anonymous_env,success,error", ""); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSpool(t *testing.T) {
	for _, size := range []int{0, 1, spoolMemory, spoolMemory + 1, 3 * spoolMemory} {
		sp := &spool{}
		want := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 100_000)
			if _, err := sp.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		reader, err := sp.reader()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, want) || sp.size != int64(size) || (sp.file != nil) != (size > spoolMemory) {
			t.Errorf("spool of %d bytes gives back %d, %v", size, len(got), err)
		}
		if err := sp.close(); err != nil {
			t.Error(err)
		}
	}
}
