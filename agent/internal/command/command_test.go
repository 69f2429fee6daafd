package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func shell(line string) Cmd { return Cmd{Path: "/bin/sh", Args: []string{"-c", line}} }

func TestRunStreamsBothOutputs(t *testing.T) {
	var out, errOut bytes.Buffer
	c := shell(`echo "to $WHO"; echo oops >&2; cat`)
	c.Env = []string{"WHO=stdout"}
	c.Stdin = strings.NewReader("stdin\n")
	c.Stdout, c.Stderr = &out, &errOut
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("to stdout\nstdin\n", out.String()); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("oops\n", errOut.String()); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

func TestRunFailure(t *testing.T) {
	for _, tt := range []struct {
		line string
		want ExitError
		text string
	}{
		{`echo a; echo b >&2; exit 3`, ExitError{Command: "sh -c echo a; echo b >&2; exit 3", Status: 3}, "exit status 3: "},
		{`kill -TERM $$`, ExitError{Command: "sh -c kill -TERM $$", Status: -1, Signal: "SIGTERM"}, "killed by signal SIGTERM"},
	} {
		err := Run(t.Context(), shell(tt.line))
		exit, ok := errors.AsType[*ExitError](err)
		if !ok {
			t.Errorf("Run(%q) = %v, want an *ExitError", tt.line, err)
			continue
		}
		if !strings.Contains(err.Error(), tt.text) {
			t.Errorf("Run(%q) = %q, want it to contain %q", tt.line, err, tt.text)
		}
		got := *exit
		got.Tail = ""
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Run(%q) (-want +got):\n%s", tt.line, diff)
		}
	}
}

func TestRunTimeLimitKillsTheGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	c := shell(`sleep 1000 & echo $! > ` + pidFile + `; echo waiting; wait`)
	c.Timeout = 300 * time.Millisecond
	err := Run(t.Context(), c)
	exit, ok := errors.AsType[*ExitError](err)
	if !ok || exit.Cause != "time limit of 300ms" || exit.Tail != "waiting" {
		t.Fatalf("Run = %#v, want an *ExitError for the time limit, with its output", err)
	}
	pid := readPid(t, pidFile)
	// The orphan is reaped by the test's init in its own time: a zombie is dead enough.
	for range 100 {
		if !alive(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("child %d of a command that hit its time limit is alive", pid)
}

func TestRunDoesNotWaitForBackgroundChildren(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	var out bytes.Buffer
	c := shell(`(sleep 1; while echo tick; do sleep 0.01; done) & echo $! > ` + pidFile + `; echo started`)
	c.Stdout = &out
	start := time.Now()
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	pid := readPid(t, pidFile)
	defer syscall.Kill(pid, syscall.SIGKILL)
	if d := time.Since(start); d > 900*time.Millisecond {
		t.Errorf("Run took %s, want it not to wait for the child in the background", d)
	}
	if out.String() != "started\n" {
		t.Errorf("output = %q, want %q", out.String(), "started\n")
	}
	time.Sleep(1200*time.Millisecond - time.Since(start))
	if !alive(pid) {
		t.Error("the child in the background died when its command ended; its output must go on being read")
	}
}

func TestRunGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	err := Run(ctx, shell(`sleep 1000`))
	if exit, ok := errors.AsType[*ExitError](err); !ok || exit.Cause != "call was given up" {
		t.Errorf("Run = %v, want an *ExitError: call was given up", err)
	}
}

func TestRunRelativePath(t *testing.T) {
	if err := Run(t.Context(), Cmd{Path: "sh"}); err == nil {
		t.Error("Run of a bare name succeeded, want an error")
	}
}

func TestToolIn(t *testing.T) {
	root := t.TempDir()
	mustWrite := func(name string, mode os.FileMode) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite("sbin/both", 0o755)
	mustWrite("usr/sbin/both", 0o755)
	mustWrite("usr/sbin/data", 0o644)
	if err := os.Symlink("/nowhere", filepath.Join(root, "sbin/link")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, want string }{
		{"both", "/usr/sbin/both"},
		{"link", "/sbin/link"},
		{"data", ""},
		{"absent", ""},
	} {
		got, err := ToolIn(root, tt.name)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("ToolIn(%q) = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	var tl tail
	for range 10000 {
		tl.Write([]byte("some line that is of no interest\n"))
	}
	tl.Write([]byte("progress 1%\rprogress 100%\n\n\xff last words\n"))
	got := tl.String()
	if !strings.HasSuffix(got, " | progress 1% | progress 100% | ? last words") {
		t.Errorf("tail ends in %q", got[max(0, len(got)-80):])
	}
	if n := strings.Count(got, " | ") + 1; n != tailLines {
		t.Errorf("tail has %d lines, want %d", n, tailLines)
	}
}

func readPid(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func alive(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(b), ") Z")
}
