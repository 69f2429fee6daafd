package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process starts the program on a site's files, and waits until it serves.
func (s *site) process() *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command("kadeployd", "--config", s.dir)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := s.try("", "GET", "/version", ""); err == nil {
			return cmd
		}
		if time.Now().After(end) {
			cmd.Process.Kill()
			cmd.Wait()
			s.t.Fatalf("it does not serve:\n%s", &log)
		}
	}
}

// A deployment outlives the process that took the order: killed, and stopped in order.
func TestProcessEnds(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			s := siteFiles(t)
			defer s.connect().CloseIdleConnections()
			first := s.process()
			second, err := exec.Command("kadeployd", "--config", s.dir).CombinedOutput()
			if want := fmt.Sprintf("already in use by process %d", first.Process.Pid); err == nil || !strings.Contains(string(second), want) {
				t.Errorf("a second one on the same files: %v, %s", err, second)
			}
			a, err := s.try("", "POST", "/deployment", `{"nodes":["node-[1-3].lab"],"verbose_level":5,"environment":{"kind":"anonymous",`+s.environment("mine", "")+`}}`)
			var op started
			if err == nil {
				err = json.Unmarshal([]byte(a.body), &op)
			}
			if err != nil || op.WID == "" {
				t.Fatalf("order: %v, %s", err, a.body)
			}
			time.Sleep(500 * time.Millisecond) // it takes 1.2 s
			if err := first.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			first.Wait() // how it ended is the signal's doing
			last := s.process()
			defer func() {
				last.Process.Signal(syscall.SIGTERM)
				if err := last.Wait(); err != nil {
					t.Errorf("it ended with %v", err)
				}
			}()
			var e ended
			for end := time.Now().Add(30 * time.Second); !e.Done; time.Sleep(50 * time.Millisecond) {
				a, err := s.try("", "GET", op.Resources.Resource, "")
				if err == nil {
					err = json.Unmarshal([]byte(a.body), &e)
				}
				if err != nil || a.status != 200 || time.Now().After(end) {
					t.Fatalf("%v, %d %s", err, a.status, a.body)
				}
			}
			if e.Error || len(e.Nodes.OK) != 3 {
				t.Errorf("%+v", e)
			}
			text, err := s.try("", "GET", op.Resources.Log, "")
			if err != nil || strings.Count(text.body, "The coordinator was restarted; the deployment goes on") != 1 || strings.Count(text.body, "End of deployment on cluster lab") != 1 {
				t.Errorf("text: %v\n%s", err, text.body)
			}
		})
	}
}
