package chain

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSimulations replays testdata/networks/*.txt: a line "network KEY=VALUE…" describes a
// network, "TIME WHAT NODE…" what happens to it, and "run" prints the commands of the chain
// after the start and how it ended. Rates are in units of 1 % of a line of 1 Gb/s.
func TestSimulations(t *testing.T) {
	files, err := filepath.Glob("testdata/networks/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no simulations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := simulate(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("run with -update if this is right (-want +got):\n%s", diff)
			}
		})
	}
}

const percent = 1.25e6 // bytes per second: 1 % of 1 Gb/s

// happening is a line of a simulation.
type happening struct {
	at   time.Duration
	what string
	args []string
}

func simulate(t *testing.T, script string) string {
	var out strings.Builder
	var s *simNet
	var plan []happening
	have := map[int]int64{}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		fmt.Fprintln(&out, line)
		word := strings.Fields(line)
		switch {
		case len(word) == 0 || line[0] == '#':
		case word[0] == "network":
			s = parseNetwork(t, word[1:])
			plan, have = nil, map[int]int64{}
		case word[0] == "have":
			have[atoi(t, word[1])] = int64(atoi(t, word[2])) << 20
		case word[0] == "run":
			runSimulation(t, s, plan, have, &out)
		default:
			at, err := time.ParseDuration(word[0])
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			plan = append(plan, happening{at, word[1], word[2:]})
		}
	}
	return out.String()
}

func atoi(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseNetwork(t *testing.T, words []string) *simNet {
	cfg := Config{DeadAfter: 2500 * time.Millisecond, StartWithin: 10 * time.Second, Window: 32 << 20}
	line, sink := 100.0, 1000.0
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "nodes":
			cfg.Names = make([]string, atoi(t, value))
		case "size":
			cfg.Size = int64(atoi(t, value)) << 20
		case "window":
			cfg.Window = int64(atoi(t, value)) << 20
		case "line":
			line = float64(atoi(t, value))
		case "head":
			cfg.Line = float64(atoi(t, value)) * percent
		case "sink":
			sink = float64(atoi(t, value))
		case "chains":
			cfg.Chains = atoi(t, value)
		case "slow":
			cfg.Slow.Mode = map[string]Mode{"side": ModeSide, "wait": ModeWait, "drop": ModeDrop}[value]
		default:
			t.Fatalf("unknown key %s", w)
		}
	}
	return newSimNet(cfg, line*percent, sink*percent)
}

func runSimulation(t *testing.T, s *simNet, plan []happening, have map[int]int64, out *strings.Builder) {
	happen := func() {
		for len(plan) > 0 && plan[0].at <= s.now {
			plan[0].do(t, s)
			plan = plan[1:]
		}
	}
	happen()
	s.ready(have)
	s.log = func(now time.Duration, what string) {
		if !strings.HasPrefix(what, "expect") && !strings.HasPrefix(what, "drop") {
			fmt.Fprintf(out, "    %.2fs %s\n", now.Seconds(), what)
		}
	}
	for !s.c.Over() {
		s.step()
		happen()
		if s.now > 10*time.Minute {
			t.Fatalf("the chain does not end\n%s\n%s", out, s)
		}
	}
	fmt.Fprintf(out, "    over after %.1fs\n%s", s.now.Seconds(), s)
}

// do makes it happen.
func (h happening) do(t *testing.T, s *simNet) {
	if h.what == "source" {
		s.source = float64(atoi(t, h.args[0])) * percent
		return
	}
	if h.what == "cut" {
		s.cut[[2]int{atoi(t, h.args[0]), atoi(t, h.args[1])}] = true
		return
	}
	i := atoi(t, h.args[0])
	n := &s.nodes[i]
	switch h.what {
	case "kill":
		s.kill(i)
	case "vanish":
		s.vanish(i)
	case "full":
		n.failSinkAt = n.consumed
	case "slow":
		for _, a := range h.args[1:] {
			key, value, _ := strings.Cut(a, "=")
			rate := float64(atoi(t, value)) * percent
			switch key {
			case "in":
				n.in = rate
			case "out":
				n.out = rate
			case "link":
				n.in, n.out = rate, rate
			case "sink":
				n.sink = rate
			case "cpu":
				n.cpu = rate
			default:
				t.Fatalf("unknown key %s", a)
			}
		}
	default:
		t.Fatalf("unknown happening %s", h.what)
	}
}
