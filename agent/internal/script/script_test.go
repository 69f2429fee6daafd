package script

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	// Not executable: archives made on other systems lose that.
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		script Script
		want   string
	}{
		{"content", Script{Content: []byte("#!/bin/sh\necho $KADEPLOY_X $#\n"), Arguments: "a 'b c'", Variables: map[string]string{"KADEPLOY_X": "x y"}}, "x y 2\n"},
		{"content without an interpreter", Script{Content: []byte("echo plain\n")}, "plain\n"},
		{"line", Script{Line: "echo $(echo a; echo b) >&1 | tr a-b A-B"}, "A B\n"},
		{"program", Script{Path: program, Arguments: `--net debian,names "it's one" $KADEPLOY_X`, Variables: map[string]string{"KADEPLOY_X": "v"}}, "<--net><debian,names><it's one><v>"},
		{"program and more", Script{Path: program, Arguments: `a 2>/dev/null && echo " done"`}, "<a> done\n"},
		{"directory", Script{Line: "pwd", Directory: "/usr"}, "/usr\n"},
		{"background child", Script{Line: "sleep 60 & echo gone"}, "gone\n"},
	} {
		var out bytes.Buffer
		c.script.Stdout, c.script.TempDir = &out, dir
		begin := time.Now()
		if err := c.script.Run(t.Context()); err != nil || out.String() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, &out, err, c.want)
		}
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("%s took %v: it waited for a child in the background", c.name, d)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "kadeploy-script-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRunFails(t *testing.T) {
	err := Script{Line: "echo why >&2; exit 3"}.Run(t.Context())
	var exit *command.ExitError
	if !errors.As(err, &exit) || exit.Status != 3 || !strings.Contains(err.Error(), "why") {
		t.Errorf("exit 3: %v", err)
	}
	err = Script{Line: "sleep 60", Timeout: 50 * time.Millisecond}.Run(t.Context())
	if !errors.As(err, &exit) || !strings.Contains(err.Error(), "time limit") {
		t.Errorf("time limit: %v", err)
	}
	if err := (Script{}).Run(t.Context()); fault.KindOf(err) != fault.Invalid {
		t.Errorf("nothing to run: %v", err)
	}
	if err := (Script{Path: "/none"}).Run(t.Context()); fault.KindOf(err) != fault.Precondition {
		t.Errorf("a program that is not there: %v", err)
	}
}
