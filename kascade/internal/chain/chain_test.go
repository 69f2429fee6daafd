package chain

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts replays testdata/*.txt. A line of events is "TIME EVENT ARGUMENTS"; the
// indented lines after it are the commands that the chain gave. "# …" is for people.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
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

func replay(t *testing.T, script string) string {
	var out strings.Builder
	var c *Chain
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "    "):
			continue
		case line == "" || line[0] == '#':
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintln(&out, line)
		word := strings.Fields(line)
		if word[0] == "chain" {
			c = newChain(t, line)
			continue
		}
		if line == "view" {
			for i := range c.nodes {
				v := c.View(i)
				fmt.Fprintf(&out, "    %d %v received=%d %s\n", i, v.State, v.Received, v.Reason)
			}
			fmt.Fprintf(&out, "    order=%v over=%v\n", c.Order(), c.Over())
			continue
		}
		now, err := time.ParseDuration(word[0])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, cmd := range c.Step(now, parseEvent(t, word[1], strings.Join(word[2:], " "))) {
			fmt.Fprintf(&out, "    %v\n", cmd)
		}
	}
	return out.String()
}

func newChain(t *testing.T, line string) *Chain {
	var nodes int
	cfg := Config{DeadAfter: 2500 * time.Millisecond, StartWithin: 10 * time.Second}
	if _, err := fmt.Sscanf(line, "chain nodes=%d size=%d window=%d", &nodes, &cfg.Size, &cfg.Window); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	cfg.Names = make([]string, nodes)
	return New(cfg)
}

func parseEvent(t *testing.T, name, args string) Event {
	scan := func(format string, into ...any) {
		if _, err := fmt.Sscanf(args, format, into...); err != nil {
			t.Fatalf("%s %s: %v", name, args, err)
		}
	}
	switch name {
	case "ready":
		var e Ready
		scan("%d have=%d", &e.Node, &e.Have)
		return e
	case "status":
		var e Status
		var full string
		if strings.HasSuffix(args, " full") {
			scan("%d received=%d consumed=%d oldest=%d %s", &e.Node, &e.Received, &e.Consumed, &e.Oldest, &full)
			e.Full = true
		} else {
			scan("%d received=%d consumed=%d oldest=%d", &e.Node, &e.Received, &e.Consumed, &e.Oldest)
		}
		return e
	case "lost":
		e := Lost{Reason: "connection refused"}
		scan("%d gen=%d", &e.Node, &e.Gen)
		return e
	case "lacks":
		e := Lost{Gone: true, Reason: "the stream has gone on"}
		scan("%d gen=%d", &e.Node, &e.Gen)
		return e
	case "source":
		e := Source{Size: Unknown}
		if strings.Contains(args, "size=") {
			scan("from=%d to=%d size=%d", &e.From, &e.To, &e.Size)
		} else {
			scan("from=%d to=%d", &e.From, &e.To)
		}
		return e
	case "answered":
		var e Answered
		scan("%d", &e.Node)
		return e
	case "sink-failed":
		e := SinkFailed{Reason: "no space"}
		scan("%d", &e.Node)
		return e
	case "finished":
		var e Finished
		scan("%d", &e.Node)
		return e
	case "gone":
		e := Gone{Reason: "control link lost"}
		scan("%d", &e.Node)
		return e
	case "cancel":
		return Cancel{Reason: "cancelled"}
	case "tick":
		return Tick{}
	}
	t.Fatalf("unknown event %q", name)
	return nil
}

// TestRandomEvents throws events at chains, by seed, and checks what must always hold:
// nobody reads from a node that is dead, released, itself, or behind it; who needs bytes
// has somebody to read from; when the nodes that live go on, the chain ends.
func TestRandomEvents(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		const size, nodes = 1000, 6
		c := New(Config{Names: make([]string, nodes), Size: size, Window: 100, DeadAfter: 2500 * time.Millisecond, StartWithin: 10 * time.Second})
		now := time.Duration(0)
		step := func(ev Event) {
			c.Step(now, ev)
			checkInvariants(t, seed, c)
		}
		for range 200 {
			now += time.Duration(rng.IntN(200)) * time.Millisecond
			i := rng.IntN(nodes)
			n := &c.nodes[i]
			switch rng.IntN(12) {
			case 0, 1:
				if n.state == Waiting {
					step(Ready{Node: i, Have: int64(rng.IntN(2) * rng.IntN(size))})
				}
			case 2:
				step(Lost{Node: i, Gen: n.gen - uint32(rng.IntN(2)), Reason: "refused"})
			case 3:
				if rng.IntN(4) == 0 {
					step(Gone{Node: i, Reason: "gone"})
				}
			case 4:
				if n.state == Receiving && rng.IntN(3) == 0 {
					step(SinkFailed{Node: i, Reason: "full"})
				}
			case 5:
				step(Tick{})
			case 6:
				if n.state == Finishing {
					step(Finished{Node: i})
				}
			default:
				if n.state != Waiting {
					got := min(size, n.received+int64(rng.IntN(100)))
					step(Status{Node: i, Received: got, Consumed: n.consumed, Oldest: max(0, got-50)})
				}
			}
		}
		for round := 0; !c.Over(); round++ {
			if round > 1000 {
				t.Fatalf("seed %d: the chain does not end", seed)
			}
			now += 100 * time.Millisecond
			for i := range c.nodes {
				n := &c.nodes[i]
				if n.state == Waiting || n.state == Failed {
					continue
				}
				got := n.received
				if n.prev == Head || n.prev >= 0 && c.nodes[n.prev].received > got {
					got = min(size, got+100)
				}
				step(Status{Node: i, Received: got, Consumed: n.consumed, Oldest: n.oldest})
				if n.state == Finishing {
					step(Finished{Node: i})
				}
			}
			step(Tick{})
		}
	}
}

func checkInvariants(t *testing.T, seed uint64, c *Chain) {
	t.Helper()
	for i := range c.nodes {
		n := &c.nodes[i]
		if !c.begun || !c.needs(i) {
			continue
		}
		if n.prev == none {
			t.Fatalf("seed %d: node %d needs bytes and has nobody", seed, i)
		}
		if n.prev != Head && (!c.serves(n.prev) || slices.Index(c.order, n.prev) >= slices.Index(c.order, i)) {
			t.Fatalf("seed %d: node %d reads from %d, which is %v", seed, i, n.prev, c.nodes[n.prev].state)
		}
	}
}

func TestNaturalLess(t *testing.T) {
	want := []string{"", "a", "node-01", "node-1", "node-2", "node-2-a", "node-9.site", "node-10", "node-10.lyon", "node-10.nancy", "node-100", "node-18446744073709551616", "x2y3", "x2y10"}
	got := slices.Clone(want)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, func(a, b string) int {
		switch {
		case NaturalLess(a, b):
			return -1
		case NaturalLess(b, a):
			return 1
		}
		return 0
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
