package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/stats"
)

func TestSummaryText(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	group := func(name string, nodes int, success stats.Rate, p50, p90, max float64) stats.Group {
		return stats.Group{Name: name, Nodes: nodes, Success: success, Spread: stats.Spread{P50: p50, P90: p90, Max: max}}
	}
	s := &stats.Summary{
		From: time.Date(2026, 1, 1, 0, 0, 0, 0, zone), To: time.Date(2026, 1, 31, 12, 30, 0, 0, zone), Operation: "deploy",
		Workflows: 12, All: group("", 130, 0.985, 95.25, 120, 240),
		Clusters:     []stats.Group{group("big", 100, 1, 95, 110, 125), group("lab", 30, 0.933, 96.04, 130, 240)},
		Environments: []stats.Group{group("debian12-min:2024070516", 129, 0.992, 95, 120, 240), group("été:1", 1, 0, 0, 0, 0)},
		Steps: []stats.StepSummary{
			{Group: group("SetDeploymentEnvUntrusted", 130, 1, 61, 70, 110), Macro: 1, Micros: []stats.Group{
				group("switch_pxe", 130, 1, 0.004, 0.01, 0.2), group("wait_reboot", 131, 0.992, 55, 60, 100),
			}},
			{Group: group("BroadcastEnvKascade", 130, 0.985, 20, 25, 90), Macro: 2},
		},
	}
	golden(t, "summary.txt", summaryText(s))
	if got, want := summaryText(&stats.Summary{From: s.From, To: s.To, Operation: "power"}), "Power operations from 2026-01-01 00:00 to 2026-01-31 12:30: none\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestStatQuestion(t *testing.T) {
	now := time.Date(2026, 3, 10, 15, 30, 0, 0, time.UTC)
	for _, test := range []struct {
		st   stat
		want string // path and query, or the error
	}{
		{stat{}, "/stats?kind=all"},
		{stat{operation: "power", wid: "P-1"}, "/stats/power?kind=all&wid=P-1"},
		{stat{operation: "format"}, "-o format: the operations are deploy, reboot, power"},
		{stat{rates: true, leastRate: "0"}, "/stats?kind=failure_rates"},
		{stat{rates: true, leastRate: "0.25"}, "/stats?kind=failure_rates&min_failure_rate=0.25"},
		{stat{rates: true, leastRate: "2"}, "-b 2: a failure rate is a number from 0 to 1"},
		{stat{rates: true, leastRate: "NaN"}, "-b NaN: a failure rate is a number from 0 to 1"},
		{stat{fields: []string{"wid,hostname", "wid"}, sort: []string{"-start"}, limit: 3}, "/stats?fields=wid&fields=hostname&kind=all&limit=3&sort=-start"},
		{stat{limit: -3}, "--limit must not be negative"},
		{stat{retries: 2, steps: []string{"1,3"}}, "/stats?kind=all&min_retries=2&step_retries=1&step_retries=3"},
		{stat{retries: -2}, "-r must not be negative"},
		{stat{steps: []string{"1"}}, "-s says at which steps -r looks: give the number of retries with -r"},
		{stat{retries: 2, steps: []string{"4"}}, "-s 4: the steps are 1, 2 and 3"},
		{stat{from: "2026-03-10", to: "2h"}, "/stats?date_max=1773149400&date_min=1773100800&kind=all"},
		{stat{from: "tomorrow"}, `"tomorrow" is not a time that is understood; write it as 2026-01-31, as 2026-01-31 15:04:05, or as 30d for thirty days ago`},
	} {
		path, query, err := test.st.question(now)
		got := path + "?" + query.Encode()
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v asks %s, want %s", test.st, got, test.want)
		}
	}
}

func TestEncodeRows(t *testing.T) {
	var out bytes.Buffer
	in := "D-1,\"a \"\"b\"\", c\",true,12,lab\nD-2,,false,0,\n"
	if err := encodeRows(&out, strings.NewReader(in), []string{"wid", "error", "success", "step1_duration", "cluster"}); err != nil {
		t.Fatal(err)
	}
	want := `{"cluster":"lab","error":"a \"b\", c","step1_duration":12,"success":true,"wid":"D-1"}` + "\n" +
		`{"cluster":"","error":"","step1_duration":0,"success":false,"wid":"D-2"}` + "\n"
	if out.String() != want {
		t.Errorf("%s, want %s", out.String(), want)
	}
	for _, bad := range []string{"D-1\n", "D-1,e,true,x,lab\n", "\"D-1,e,true,1,lab\n"} {
		if err := encodeRows(&out, strings.NewReader(bad), []string{"wid", "error", "success", "step1_duration", "cluster"}); err == nil {
			t.Errorf("%q was taken for rows", bad)
		}
	}
}

func FuzzEncodeRows(f *testing.F) {
	f.Add("D-1,e,true,12\n")
	f.Add("D-1,\"e\n\",false,0\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		_ = encodeRows(&out, strings.NewReader(text), []string{"wid", "error", "success", "start"}) // must not panic
	})
}
