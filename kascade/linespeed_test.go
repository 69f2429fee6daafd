package kascade

import (
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestLineSpeed(t *testing.T) {
	dir := t.TempDir()
	card := &net.Interface{Name: "eth7", Index: 3, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	for _, c := range []struct {
		name                   string
		ifindex, address, mbit string
		want                   float64 // 0: an error
	}{
		{"gigabit", "3", "02:00:00:00:00:01", "1000", 125e6},
		{"no cable", "3", "02:00:00:00:00:01", "-1", 0},
		{"does not tell", "3", "02:00:00:00:00:01", "", 0},
		{"another namespace", "4", "02:00:00:00:00:01", "1000", 0},
		{"another card", "3", "02:00:00:00:00:02", "1000", 0},
	} {
		at := filepath.Join(dir, c.name)
		if err := os.MkdirAll(filepath.Join(at, card.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"ifindex": c.ifindex, "address": c.address, "speed": c.mbit} {
			if err := os.WriteFile(filepath.Join(at, card.Name, name), []byte(content+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := speedIn(at, card); got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	for _, address := range []string{"127.0.0.1", "203.0.113.9", "a-name"} {
		if got := lineSpeed(address); !math.IsInf(got, 1) {
			t.Errorf("lineSpeed(%s) = %v, want infinity", address, got)
		}
	}
}
