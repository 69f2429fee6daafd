package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestBenchUsage(t *testing.T) {
	for args, want := range map[string]string{
		"-N 0":                          "-N: \"0\" is not a number of nodes",
		"--size many":                   "--size",
		"--rate 3parsec":                "--rate",
		"--window x":                    "--window",
		"--chunk x":                     "--chunk",
		"--kill 4":                      "--kill",
		"--cut 4@200%":                  "--cut",
		"--slow-node 4":                 "--slow-node",
		"--slow-sink x=1":               "--slow-sink",
		"--slow never":                  "--slow",
		"--compress much":               "--compress",
		"--against time":                "use iperf3 or none",
		"--runs 0":                      "use at least 1",
		"--suite=none":                  "no case of the suite",
		"--loopback --rate 1Gbit":       "need cables",
		"--loopback --data /none/such":  "no such file",
		"-N 2 --loopback --kill 3@5%":   "nodes are 1 to 2",
		"-N 2 --loopback --dead 2":      "one must live",
		"-N 2 --loopback --data /":      "not a regular file",
		"--loopback -N 2 --chunk 100GB": "1KiB to 4MiB",
		"surplus":                       "unknown command",
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"bench"}, strings.Fields(args)...), strings.NewReader(""), &out, &errs)
		if code != exitFatal || !strings.Contains(errs.String(), want) || strings.Contains(errs.String(), "panic") {
			t.Errorf("kascade bench %s: code %d, %q, want %q", args, code, &errs, want)
		}
	}
}

// TestBenchHelp: every option is explained, and the commands of its processes are not shown.
func TestBenchHelp(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"bench", "--help"}, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Fatalf("code %d: %s", code, &errs)
	}
	for _, want := range []string{"--suite", "--slow-node NODE=RATE", "--kill NODE@SHARE%", "--plot FILE", "unshaped-8-verified"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help without %q", want)
		}
	}
	if strings.Contains(out.String(), "relay  ") || strings.Contains(out.String(), "Available Commands") {
		t.Errorf("help shows the commands of the benchmark's own processes:\n%s", &out)
	}
}
