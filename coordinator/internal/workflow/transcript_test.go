package workflow

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts plays the commands of testdata/*.txt and compares what the
// automaton answers. A file is a sequence of blocks: commands, a line ----, the answers.
//
//	plan                       followed by lines  MACRO: INSTANCE(option,...) STEP STEP | INSTANCE ...
//	                           options: retries=N timeout=SECONDS barrier break
//	                           a STEP may be  name/option,...  with retries=N limit=SECONDS expected=SECONDS barrier break
//	nodes n1 n2                the nodes
//	fetching                   when they start, the image is still to come
//	ready n1                   before nodes: these begin in the second macro-step
//	begin [refused...]         they start
//	fetched                    the image is here
//	pass n1 n2                 they pass the micro-step that they are in, together
//	fail n1 n2 : reason        they fail in it, together
//	answer pass n1, fail n2    several answers together
//	wait 30s                   nothing happens for so long
//	cancel, abandon reason     the workflow is stopped
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("transcript differs (-want +got):\n%s", d)
			}
		})
	}
}

func play(t *testing.T, text string) string {
	t.Helper()
	p := &player{t: t, task: make(map[string]int), now: epoch}
	var out strings.Builder
	for block := range strings.SplitSeq(text, "\n\n") {
		commands, _, ok := strings.Cut(block, "----\n")
		if !ok {
			commands, _, _ = strings.Cut(block, "----")
		}
		commands = strings.TrimSpace(commands)
		if commands == "" {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%s\n----\n", commands)
		if !strings.HasPrefix(commands, "#") {
			out.WriteString(p.block(commands))
		}
	}
	return out.String()
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type player struct {
	t    *testing.T
	plan *Plan
	a    *Automaton
	task map[string]int // by node
	now  time.Time
	out  strings.Builder

	fetching bool
}

func (p *player) block(commands string) string {
	p.out.Reset()
	lines := strings.Split(commands, "\n")
	if lines[0] == "plan" {
		p.plan = parsePlan(p.t, lines[1:])
		return ""
	}
	for _, line := range lines {
		p.command(line)
	}
	return p.out.String()
}

func (p *player) command(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "ready":
		p.plan.Ready = strings.Fields(rest)
	case "nodes":
		p.a = NewAutomaton(p.plan, strings.Fields(rest))
	case "begin":
		p.step(Event{Kind: Begin, Refused: strings.Fields(rest), Reason: "busy", Fetching: p.fetching})
	case "fetching":
		p.fetching = true
	case "fetched":
		p.step(Event{Kind: Fetched})
	case "pass", "fail":
		p.step(p.answers(line)...)
	case "answer":
		var events []Event
		for part := range strings.SplitSeq(rest, ", ") {
			events = append(events, p.answers(part)...)
		}
		p.step(events...)
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.t.Fatal(err)
		}
		end := p.now.Add(d)
		for {
			next := p.a.Deadline()
			if next.IsZero() || next.After(end) {
				break
			}
			p.now = next
			p.step()
		}
		p.now = end
		p.step()
	case "cancel":
		p.step(Event{Kind: Cancel})
	case "abandon":
		p.step(Event{Kind: Fail, Reason: rest})
	default:
		p.t.Fatalf("unknown command %q", line)
	}
}

func (p *player) answers(text string) []Event {
	text, reason, _ := strings.Cut(text, " : ")
	words := strings.Fields(text)
	var events []Event
	for _, n := range words[1:] {
		e := Event{Kind: Passed, Task: p.task[n], Node: n}
		if words[0] == "fail" {
			e.Kind, e.Reason = Failed, reason
		}
		events = append(events, e)
	}
	return events
}

func (p *player) step(events ...Event) {
	out, err := p.a.Step(p.now, events...)
	if err != nil {
		fmt.Fprintf(&p.out, "error: %v\n", err)
	}
	at := p.now.Sub(epoch).Seconds()
	for _, n := range out.Notices {
		fmt.Fprintf(&p.out, "%4vs %s\n", at, describe(n))
	}
	for _, c := range out.Commands {
		switch c := c.(type) {
		case Run:
			for _, n := range c.Nodes {
				p.task[n] = c.Task
			}
			deadline := ""
			if !c.Deadline.IsZero() {
				deadline = fmt.Sprintf(" until %vs", c.Deadline.Sub(epoch).Seconds())
			}
			fmt.Fprintf(&p.out, "%4vs > task %d: %s(%s) on %s%s\n", at, c.Task, c.Micro.Name, c.Micro.Argument, strings.Join(c.Nodes, " "), deadline)
		case Kill:
			fmt.Fprintf(&p.out, "%4vs > kill task %d\n", at, c.Task)
		}
	}
}

func describe(n Notice) string {
	run := func(r RunInfo) string {
		s := fmt.Sprintf("%s#%d", r.Instance, r.Attempt)
		if r.Set != "" {
			s = "[" + r.Set + "] " + s
		}
		return s
	}
	join := func(nodes []string) string { return strings.Join(nodes, " ") }
	switch n := n.(type) {
	case Launched:
		return strings.TrimRight(fmt.Sprintf("launched %s refused %s", join(n.Nodes), join(n.Refused)), " ")
	case MacroStarted:
		return run(n.Run) + " starts"
	case MacroEnded:
		return fmt.Sprintf("%s ends after %v", run(n.Run), n.Elapsed)
	case MicroStarted:
		return fmt.Sprintf("%s %s starts", run(n.Run), n.Micro)
	case MicroEnded:
		return fmt.Sprintf("%s %s ends after %v", run(n.Run), n.Micro, n.Elapsed)
	case Entered:
		return fmt.Sprintf("%s %s entered by %s", run(n.Run), n.Micro, join(n.Nodes))
	case Left:
		return fmt.Sprintf("%s %s passed by %s", run(n.Run), n.Micro, join(n.Nodes))
	case NodesFailed:
		again := ""
		if n.Again {
			again = ", again"
		}
		return fmt.Sprintf("%s %s failed by %s: %s%s", run(n.Run), n.Micro, join(n.Nodes), n.Reason, again)
	case TimedOut:
		return fmt.Sprintf("%s timeout of %s: %s", run(n.Run), n.Step, join(n.Nodes))
	case Reached:
		return fmt.Sprintf("%s breakpoint %s: %s", run(n.Run), n.Step, join(n.Nodes))
	case Split:
		s := fmt.Sprintf("split [%s]", n.Set)
		for _, in := range n.Into {
			s += fmt.Sprintf(" [%s] %s", in.Set, join(in.Nodes))
		}
		return s
	case Judged:
		s := fmt.Sprintf("%s: %s", n.Verdict, join(n.Nodes))
		if n.Verdict != VerdictOK {
			s += fmt.Sprintf(" (%s-%s: %s)", n.Instance, n.Micro, n.Reason)
		}
		return s
	case SetEnded:
		return fmt.Sprintf("set [%s] ends: %s after %v", n.Set, join(n.Nodes), n.Elapsed)
	case Ended:
		return fmt.Sprintf("ended: %d of %d failed, after %v", n.Failed, n.Total, n.Elapsed)
	}
	return fmt.Sprintf("%#v", n)
}

func parsePlan(t *testing.T, lines []string) *Plan {
	t.Helper()
	plan := &Plan{}
	for _, line := range lines {
		name, rest, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("plan line %q has no macro-step", line)
		}
		m := Macro{Name: name}
		for text := range strings.SplitSeq(rest, " | ") {
			words := strings.Fields(text)
			name, options, _ := strings.Cut(strings.TrimSuffix(words[0], ")"), "(")
			in := Instance{Name: name, Raisable: true}
			for o, v := range parseOptions(t, options) {
				switch o {
				case "retries":
					in.Retries = v
				case "timeout":
					in.Timeout = time.Duration(v) * time.Second
				case "barrier":
					in.Raisable = false
				case "break":
					in.Breakpoint = true
				}
			}
			for _, w := range words[1:] {
				name, options, _ := strings.Cut(w, "/")
				micro := Micro{MicroStep: MicroStep{Name: name}, Raisable: true}
				if name == RebootNode {
					micro.Argument = "soft"
				}
				for o, v := range parseOptions(t, options) {
					switch o {
					case "retries":
						micro.Retries = v
					case "expected":
						micro.Expected = time.Duration(v) * time.Second
					case "limit":
						micro.Limit = time.Duration(v) * time.Second
					case "barrier":
						micro.Raisable = false
					case "break":
						micro.Breakpoint = true
					}
				}
				in.Micros = append(in.Micros, micro)
			}
			m.Instances = append(m.Instances, in)
		}
		plan.Macros = append(plan.Macros, m)
	}
	return plan
}

func parseOptions(t *testing.T, text string) map[string]int {
	options := make(map[string]int)
	for o := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(o, "=")
		v := 0
		if value != "" {
			var err error
			if v, err = strconv.Atoi(value); err != nil {
				t.Fatalf("option %q: %v", o, err)
			}
		}
		options[name] = v
	}
	return options
}
