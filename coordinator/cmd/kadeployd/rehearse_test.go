package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// rehearsed runs kadeployd rehearse and returns its report.
func rehearsed(t *testing.T, arguments ...string) rehearsalReport {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kadeployd", append([]string{"rehearse", "--json"}, arguments...)...) // TestMain has put it there
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	err := cmd.Run()
	var report rehearsalReport
	if jsonErr := json.Unmarshal(out.Bytes(), &report); jsonErr != nil {
		t.Fatalf("rehearse %q: %v, %v\n%s%s", arguments, err, jsonErr, out.String(), progress.String())
	}
	if err != nil || !report.Good {
		t.Errorf("rehearse %q: %v; wrong %+v, locked %v\n%s", arguments, err, report.Wrong, report.Locked, progress.String())
	}
	return report
}

// TestRehearse deploys on fifty simulated nodes by the whole coordinator.
func TestRehearse(t *testing.T) {
	t.Parallel()
	r := rehearsed(t, "--nodes", "50", "--clusters", "2", "--image-size", "4MiB")
	if r.OK != 50 || r.KO != 0 || len(r.Recovered) != 0 || r.Daemon.Journal.Writes == 0 || r.Broadcast.Rate <= 0 || r.Daemon.Memory == 0 {
		t.Errorf("fifty good nodes: %+v", r)
	}
	steps := make(map[string]int)
	for _, s := range r.Steps {
		steps[s.Instance+"-"+s.Micro] += s.Nodes
	}
	for _, step := range []string{"SetDeploymentEnvUntrusted-wait_reboot", "BroadcastEnvKascade-send_environment", "BootNewEnvKexec-wait_reboot"} {
		if steps[step] != 50 {
			t.Errorf("%d nodes did %s", steps[step], step)
		}
	}
}

// TestRehearseFaults lets nodes die, hang and be slow wherever seeds say.
func TestRehearseFaults(t *testing.T) {
	for seed := 1; seed <= 3; seed++ {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			r := rehearsed(t, "--nodes", "50", "--image-size", "4MiB", "--fail", "16%", "--hang", "8%", "--slow", "4%", "--seed", strconv.Itoa(seed))
			if r.Faults.Given != 14 || r.Faults.Struck != 12 || r.KO < 8 {
				t.Errorf("faults %+v, %d ko: want 14 given, 2 of them slow nodes, and at least the 8 fatal ones ko", r.Faults, r.KO)
			}
		})
	}
}

func TestRehearseMistakes(t *testing.T) {
	for _, c := range []struct{ arguments, want string }{
		{"--nodes 4 --clusters 3,4", "give a number"},
		{"--nodes 0", "give 1 or more"},
		{"--nodes 3 --clusters 4", "not more clusters"},
		{"--fail 120%", "0% to 100%"},
		{"--image-size 0", "as 16MiB"},
		{"--dir .", "is not empty"},
		{"--config /nowhere", "does not exist"},
	} {
		out, err := exec.Command("kadeployd", append([]string{"rehearse"}, strings.Fields(c.arguments)...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("rehearse %s: %v, %s; want %q", c.arguments, err, out, c.want)
		}
	}
}
