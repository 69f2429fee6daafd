// Package labtest gives tests a lab. It takes the lab down at the end of the
// test, and when the test failed it prints what one needs to see: the command
// line and the end of the console of each machine.
package labtest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kadeploy/minios/lab"
)

// consoleLines is how much of each console a failed test prints.
const consoleLines = 40

// started makes names of labs unique within a test process.
var started atomic.Int32

// Up starts a lab with a name and a directory of its own. It uses TCG unless
// the options say otherwise. A test that is not run by root is skipped.
func Up(t testing.TB, options lab.Options) *lab.Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a lab needs root")
	}
	if options.Name == "" {
		options.Name = fmt.Sprintf("test-%d-%d", os.Getpid(), started.Add(1))
	}
	if options.Directory == "" {
		// Not t.TempDir: with a long name of a test its path is too long for a socket.
		directory, err := os.MkdirTemp("", "lab-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(directory) })
		options.Directory = directory
	}
	if options.Accelerator == "" {
		options.Accelerator = lab.TCG
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	l, err := lab.Up(t.Context(), options)
	if err != nil {
		t.Fatalf("start a lab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			Dump(t, l)
		}
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Errorf("take down the lab: %v", err)
		}
	})
	return l
}

// Dump prints each machine's command line and the end of its console.
func Dump(t testing.TB, l *lab.Lab) {
	t.Helper()
	for _, n := range l.Nodes() {
		text, err := l.ConsoleTail(n.Name, consoleLines)
		if err != nil {
			text = err.Error()
		}
		t.Logf("%s: QEMU command:\n%s\n%s: end of its console:\n%s", n.Name, n.CommandLine(), n.Name, text)
	}
}

// AwaitConsole waits until a node has written a text on its console count times
// since the lab came up, and fails the test if it does not within limit.
func AwaitConsole(t testing.TB, l *lab.Lab, node, text string, count int, limit time.Duration) {
	t.Helper()
	n, err := l.Node(node)
	if err != nil {
		t.Fatal(err)
	}
	Await(t, limit, fmt.Sprintf("%q on the console of %s, %d times", text, node, count), func() bool {
		output, err := os.ReadFile(n.ConsoleLog)
		return err == nil && strings.Count(string(output), text) >= count
	})
}

// Await waits until a condition of the real world holds.
func Await(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(limit); !holds(); {
		select {
		case <-t.Context().Done():
			t.Fatalf("waiting for %s: %v", what, t.Context().Err())
		case <-again.C:
		}
		if time.Now().After(end) {
			t.Fatalf("no %s within %s", what, limit)
		}
	}
}
