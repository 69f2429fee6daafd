package bench

import (
	"os"
	"strings"
	"testing"
)

func TestParseIperf(t *testing.T) {
	b, err := os.ReadFile("testdata/iperf3-3.12.json")
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseIperf(b)
	if err != nil {
		t.Fatal(err)
	}
	// sum_received of the file.
	if h.Size != 1643249664 || h.Rate < 0.999*1634482301 || h.Rate > 1.001*1634482301 {
		t.Errorf("%+v, want %d bytes at %g", h, int64(1643249664), float64(1634482301))
	}
	refused, err := os.ReadFile("testdata/iperf3-refused.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want string }{
		{string(refused), "Connection refused"},
		{"", "no JSON"},
		{"{}", "does not say"},
		{`{"end":{"sum_received":{"bytes":1,"seconds":0}}}`, "does not say"},
		{`{"end":{"sum_received":{"bytes":"x"}}}`, "no JSON"},
	} {
		if h, err := parseIperf([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, %v, want %q", c.in, h, err, c.want)
		}
	}
}

func FuzzParseIperf(f *testing.F) {
	for _, name := range []string{"testdata/iperf3-3.12.json", "testdata/iperf3-refused.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseIperf(b); err == nil && !(h.Size > 0 && h.Rate > 0) {
			t.Errorf("%+v", h)
		}
	})
}
