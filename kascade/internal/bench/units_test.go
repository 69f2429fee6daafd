package bench

import (
	"math"
	"testing"
)

func TestUnits(t *testing.T) {
	for s, want := range map[string]int64{
		"1GiB": 1 << 30, "256MiB": 256 << 20, "64K": 64 << 10, "1.5MiB": 3 << 19, "100": 100, "7 kB": 7000, "2gb": 2e9,
		"": 0, "GiB": 0, "-1GiB": 0, "0": 0, "1e30GiB": 0, "NaN": 0, "1Gbit": 0, "1 GiB/s": 0, "12 apples": 0,
	} {
		got, err := ParseSize(s)
		if want == 0 && err == nil || want != 0 && got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for s, want := range map[string]int64{"1Gbit": 125e6, "100Mbit/s": 125e5, "20MiB/s": 20 << 20, "8kbit": 1000, "3/s": 3, "x": 0, "bit": 0} {
		got, err := ParseRate(s)
		if want == 0 && err == nil || want != 0 && got != want {
			t.Errorf("ParseRate(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for s, want := range map[string]Harm{"4@50%": {4, 0.5}, "1@0%": {1, 0}, "4@100%": {}, "0@5%": {}, "4": {}, "4@": {}, "4@50": {}, "4@NaN%": {}, "@%": {}} {
		got, err := ParseHarm(s)
		if want == (Harm{}) && err == nil || want != (Harm{}) && got != want {
			t.Errorf("ParseHarm(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]int64{"3=20MiB/s": 20 << 20, "3": 0, "=1Gbit": 0, "0=1Gbit": 0, "3=": 0} {
		node, rate, err := ParseSlow(s)
		if want == 0 && err == nil || want != 0 && (node != 3 || rate != want) {
			t.Errorf("ParseSlow(%q) = %d, %d, %v", s, node, rate, err)
		}
	}
	if got, err := ParseNodes("8, 16"); err != nil || len(got) != 2 || got[0] != 8 || got[1] != 16 {
		t.Errorf("ParseNodes = %v, %v", got, err)
	}
	for _, s := range []string{"", "0", "8,", "5000", "a"} {
		if got, err := ParseNodes(s); err == nil {
			t.Errorf("ParseNodes(%q) = %v, want an error", s, got)
		}
	}
}

func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1GiB", "100Mbit/s", "4@50%", "3=20MiB/s", "8,16", "1e308GiB", "0x1p-2M"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (int64, error){ParseSize, ParseRate} {
			if n, err := parse(s); err == nil && (n < 1 || n > math.MaxInt64/2) {
				t.Errorf("%q is %d", s, n)
			}
		}
		if h, err := ParseHarm(s); err == nil && !(h.Node >= 1 && h.Share >= 0 && h.Share < 1) {
			t.Errorf("%q is %v", s, h)
		}
		if node, rate, err := ParseSlow(s); err == nil && (node < 1 || rate < 1) {
			t.Errorf("%q is %d, %d", s, node, rate)
		}
		if list, err := ParseNodes(s); err == nil && len(list) == 0 {
			t.Errorf("%q is no list", s)
		}
	})
}
