package kascade

import "testing"

func TestWindowLimit(t *testing.T) {
	for _, c := range []struct {
		head           uint64
		own, available int64
		want           int64
	}{
		{32 << 20, 0, 0, 32 << 20},
		{32 << 20, 4 << 20, 8 << 30, 4 << 20},
		{32 << 20, 64 << 20, 8 << 30, 32 << 20},
		{32 << 20, 0, 80 << 20, 10 << 20},
		{1 << 63, 0, 0, 1 << 40},
	} {
		if got := windowLimit(c.head, c.own, c.available); got != c.want {
			t.Errorf("windowLimit(%d, %d, %d) = %d, want %d", c.head, c.own, c.available, got, c.want)
		}
	}
	for in, want := range map[string]int64{
		"MemTotal:  100 kB\nMemAvailable:   24000 kB\n": 24000 << 10,
		"MemAvailable: many kB":                         0,
		"MemAvailable: 12":                              0,
		"MemAvailable: 1":                               0,
		"":                                              0,
	} {
		if got := parseAvailable([]byte(in)); got != want {
			t.Errorf("parseAvailable(%q) = %d, want %d", in, got, want)
		}
	}
}
