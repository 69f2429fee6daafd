package launch

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test program is what the launchers copy: as a node it echoes.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == NodeCommand {
		os.Exit(echo())
	}
	goleak.VerifyTestMain(m)
}

// stdio is the standard input and output as a link.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { os.Stdin.Close(); return os.Stdout.Close() }

func echo() int {
	if err := RemoveCopy(); err != nil {
		fmt.Fprintln(os.Stderr, "remove the copy:", err)
		return 1
	}
	order, err := Attend(context.Background(), stdio{}, Address())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if string(order) == "fail" {
		fmt.Fprintln(os.Stderr, "told to fail")
		return 3
	}
	os.Stdout.Write(order)
	io.Copy(os.Stdout, os.Stdin)
	return 0
}
