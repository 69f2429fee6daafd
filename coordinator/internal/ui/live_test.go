package ui

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/workflow"
)

func picture() (workflow.Live, time.Time) {
	at := time.Unix(1700000000, 0)
	return workflow.Live{
		Macros: []workflow.LiveMacro{
			{Name: "SetDeploymentEnv", Started: at, Ended: at.Add(75 * time.Second), Done: 3, Failed: 1},
			{Name: "BroadcastEnv", Started: at.Add(75 * time.Second), Waiting: 0, Running: map[string]int{"send_environment": 2, "send_key": 1}},
			{Name: "BootNewEnv", Waiting: 3},
		},
		Progress: &workflow.Progress{Done: 512 << 20, Total: 1 << 30, Rate: 64 << 20, Slowest: "node-2.lab", Reason: "disk"},
		Failed:   []workflow.LiveNode{{Node: "node-4.lab", Error: "SetDeploymentEnvUntrusted-wait_reboot: unreachable\nmore"}},
	}, at.Add(80 * time.Second)
}

func TestLines(t *testing.T) {
	live, now := picture()
	want := []string{
		"✓ SetDeploymentEnv   3/4 done, 1 failed  1m15s",
		"⠋ BroadcastEnv       0/3 done  5s  send_environment(2) send_key(1)   50% 64.0 MiB/s ETA 8s",
		"· BootNewEnv         0/3 done",
		"    node-2.lab holds the others back: disk",
		"  ✗ node-4.lab SetDeploymentEnvUntrusted-wait_reboot: unreachable",
	}
	if diff := cmp.Diff(want, Lines(live, now, 0, false)); diff != "" {
		t.Error(diff)
	}
}

func TestManyFailed(t *testing.T) {
	live := workflow.Live{Failed: make([]workflow.LiveNode, 100)}
	lines := Lines(live, time.Now(), 0, false)
	if len(lines) != maxFailed+1 || !strings.Contains(lines[maxFailed], "95 more") {
		t.Errorf("%q", lines)
	}
}

func TestDrawAndErase(t *testing.T) {
	live, now := picture()
	var out bytes.Buffer
	l := NewLive(&out, func() int { return 40 }, true)
	l.Draw(live, now)
	first := out.String()
	if n := strings.Count(first, "\n"); n != 5 || strings.Contains(first, "\x1b[J") {
		t.Errorf("the first picture has %d lines: %q", n, first)
	}
	for line := range strings.Lines(first) {
		text := line
		for _, code := range []string{red, green, yellow, cyan, dim, "0"} {
			text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
		}
		if n := utf8.RuneCountInString(strings.TrimSuffix(text, "\n")); n > 39 {
			t.Errorf("%d columns: %q", n, line)
		}
		if strings.Contains(line, "\x1b[3") && !strings.HasSuffix(line, "\x1b[0m\n") && strings.Count(line, "\x1b[0m") == 0 {
			t.Errorf("the colour is not ended: %q", line)
		}
	}
	out.Reset()
	l.Draw(live, now)
	if !strings.HasPrefix(out.String(), "\x1b[5A\r\x1b[J") {
		t.Errorf("redrawn by %q", out.String())
	}
	out.Reset()
	l.Draw(live, now)
	l.Typed()
	out.Reset()
	l.Draw(live, now)
	if !strings.HasPrefix(out.String(), "\x1b[6A\r\x1b[J") {
		t.Errorf("after Enter redrawn by %q", out.String())
	}
	out.Reset()
	l.Erase()
	l.Erase()
	l.Typed() // nothing is drawn
	if out.String() != "\x1b[5A\r\x1b[J" {
		t.Errorf("erased by %q", out.String())
	}
}

func TestClip(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"é日ü", 3, "é日ü"},
		{"\x1b[31mabcd\x1b[0m", 3, "\x1b[31mab…\x1b[0m"},
		{"\x1b[31mabc\x1b[0m", 3, "\x1b[31mabc\x1b[0m"},
		{"a\x1b[2Jb\rc", 9, "a[2Jbc"}, // what nodes print cannot move the cursor
		{"abc", 0, ""},
	}
	for _, tt := range tests {
		if got := Clip(tt.in, tt.n); got != tt.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add("\x1b[31mab\x1b[0m\x1b[", 2)
	f.Fuzz(func(t *testing.T, line string, n int) {
		got := Clip(line, n)
		for rest := got; rest != ""; {
			if seq := sequence(rest); seq != "" {
				rest = rest[len(seq):]
				continue
			}
			if rest[0] < ' ' {
				t.Fatalf("Clip(%q, %d) = %q", line, n, got)
			}
			rest = rest[1:]
		}
	})
}
