package kascade

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// relayMain makes this test binary a node, if the environment says so. It waits for a line
// "HEAD-ADDRESS OUTPUT-FILE" on its standard input: by then its network is there.
func relayMain() bool {
	name := os.Getenv("KASCADE_TEST_NODE")
	if name == "" {
		return false
	}
	if err := relayProcess(name); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	return true
}

func relayProcess(name string) error {
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return err
	}
	head, output, _ := strings.Cut(strings.TrimSpace(line), " ")
	control, err := net.Dial("tcp", head)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(control, name); err != nil {
		return err
	}
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	return Join(context.Background(), control, fileSink{f}, NodeOptions{})
}

// fileSink is a file in the page cache.
type fileSink struct{ *os.File }

func (s fileSink) Commit(context.Context) error { return s.Close() }

func (s fileSink) Abort(error) { _ = errors.Join(s.Close(), os.Remove(s.Name())) }
