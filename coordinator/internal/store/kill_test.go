package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// killedVariable makes the test program the victim of TestKill.
const killedVariable = "STORE_TEST_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedVariable); path != "" {
		fmt.Fprintln(os.Stderr, addForEver(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// addForEver tells the version of each environment once it is stored, together with
// the end of a workflow.
func addForEver(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	r := s.Registry(nil)
	j := s.Journal()
	for version := 1; ; version++ {
		id := fmt.Sprintf("D-%d", version)
		if err := j.Begin(ctx, &workflow.Request{ID: id}); err != nil {
			return err
		}
		kept := &stats.Record{
			Rows:   []stats.Row{logged(id, "n1", version, nil), logged(id, "n2", version, nil)},
			Micros: []stats.Micro{{Instance: "BroadcastEnvKascade", Name: "send_environment", Seconds: []float64{1, 2}}},
		}
		if err := j.End(ctx, id, kept); err != nil {
			return err
		}
		if _, err := r.AddEnvironment(ctx, Caller{User: "alice"}, "", description("x", version, "private")); err != nil {
			return err
		}
		fmt.Println(version)
	}
}

// TestKill kills a process in the middle of its work: all that it said was stored
// is there, whole, and the database can be opened at once.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), killedVariable+"="+path)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	victim.Stderr = &complaints
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	told := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if told, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if told == 30 {
			if _, err := Open(t.Context(), path); err == nil {
				t.Error("the database of a living process was opened")
			}
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	victim.Wait() // the kill is its result
	if told < 30 {
		t.Fatalf("the victim ended by itself after %d: %s", told, complaints.String())
	}
	s := openAt(t, path)
	found, err := s.Registry(nil).Environments(t.Context(), alice, EnvironmentQuery{})
	if err != nil {
		t.Fatal(err)
	}
	// One more may have been committed than told.
	if len(found) != told && len(found) != told+1 {
		t.Errorf("%d environments are stored, %d were told", len(found), told)
	}
	// So it is with workflows: the end of each and all of its rows, or nothing.
	var ended int
	if err := s.writer.QueryRow("SELECT count(*) FROM journal_workflows WHERE ended IS NOT NULL").Scan(&ended); err != nil {
		t.Fatal(err)
	}
	if rows, micros := count(t, s, "log"), count(t, s, "log_micro"); rows != 2*ended || micros != ended || ended < told {
		t.Errorf("%d rows and %d micro-steps of %d workflows are stored, %d were told", rows, micros, ended, told)
	}
	var sound string
	if err := s.writer.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("integrity: %s, %v", sound, err)
	}
}
