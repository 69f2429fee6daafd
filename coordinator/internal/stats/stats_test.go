package stats

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestRate(t *testing.T) {
	for rate, want := range map[Rate]string{0: "0.0", 1: "1.0", 0.5: "0.5", 1.0 / 3: "0.333", 2.0 / 3: "0.667", 0.0004: "0.0", 0.12: "0.12"} {
		text, err := json.Marshal(rate)
		if err != nil || rate.String() != want || string(text) != want {
			t.Errorf("%v is %s and %s (%v), want %s", float64(rate), rate, text, err, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	if got := ErrorText(" a\n\tb  c\r\n"); got != "a b c" {
		t.Errorf("%q", got)
	}
	long := ErrorText(strings.Repeat("é", 2000))
	if len(long) > maxError || !utf8.ValidString(long) || !strings.HasSuffix(long, "é...") {
		t.Errorf("a long error became %d bytes: %q", len(long), long[len(long)-8:])
	}
}

func TestSpread(t *testing.T) {
	tens := []float64{100, 10, 20, 30, 40, 50, 60, 70, 80, 90}
	for _, test := range []struct {
		seconds []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{2, 1}, Spread{1, 2, 2}},
		{[]float64{3, 1, 2}, Spread{2, 3, 3}},
		{[]float64{1.2077112060000001}, Spread{1.208, 1.208, 1.208}},
		{tens, Spread{50, 90, 100}},
	} {
		if got := SpreadOf(slices.Clone(test.seconds)); got != test.want {
			t.Errorf("SpreadOf(%v) = %v, want %v", test.seconds, got, test.want)
		}
	}
	if _, ok := Median(nil); ok {
		t.Error("nothing has a median")
	}
}

func TestLogLine(t *testing.T) {
	r := Row{
		Workflow: "D-1", User: "alice", Node: "n1", Start: time.Unix(1_700_000_000, 0), Env: "debian:1", Anonymous: true, Error: "no, route",
		Steps: [3]Step{{"A", 200 * time.Second, 1, 61500 * time.Millisecond}, {"B", 300 * time.Second, 2, 499 * time.Millisecond}, {}},
	}
	want := "D-1|n1|alice|A|B||200|300|0|1|2|0|1700000000|62|0|0|debian:1|true||false|no, route"
	if got := strings.Join(r.LogLine(), "|"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFieldsAreKnown(t *testing.T) {
	for _, f := range append([]string{"anonymous_env", "cluster"}, Fields...) {
		if !KnownField(f) {
			t.Errorf("%s is not known", f)
		}
	}
	var numbers []string
	for _, f := range Fields {
		if NumericField(f) {
			numbers = append(numbers, f)
		}
	}
	if d := cmp.Diff(Fields[6:16], numbers); d != "" {
		t.Error(d)
	}
}

func TestSplitList(t *testing.T) {
	if d := cmp.Diff([]string{"a", "b", "c"}, SplitList([]string{"a, b", "", ",c,a"})); d != "" {
		t.Error(d)
	}
}

func TestDigestKnowsWhereANodeFailed(t *testing.T) {
	d := NewDigest()
	for _, steps := range [][3]string{{"A", "B", "C"}, {"A", "B", ""}, {"A", "", ""}, {"", "", ""}} {
		r := Row{Workflow: "D-1", Cluster: "c", Success: steps[2] != ""}
		for i, s := range steps {
			r.Steps[i].Name = s
		}
		d.Row(&r)
	}
	var got []string
	for _, s := range d.Summary(Period{}).Steps {
		got = append(got, s.Name+" "+s.Success.String())
	}
	if diff := cmp.Diff([]string{"A 0.667", "B 0.5", "C 1.0"}, got); diff != "" {
		t.Error(diff)
	}
}
