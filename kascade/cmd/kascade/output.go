package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/sink"
)

// openSink opens where a node puts its copy. said gets what a command prints.
func openSink(d order, said io.Writer) (s kascade.Sink, held kascade.Held, err error) {
	switch {
	case d.Command != "":
		s, err = sink.NewCommand(d.Command, said)
	case d.Output == "-":
		return sink.Stream{W: os.Stdout}, held, nil
	case d.Tree && d.Resume:
		return nil, held, errors.New("--resume is for files: what comes is a directory, which is packed anew")
	case d.Tree:
		s, err = sink.NewTree(d.Output)
	case d.Base == "" && isDir(d.Output):
		return nil, held, fmt.Errorf("%s is a directory, and a stream has no name that its file could have in it: give -o FILE", d.Output)
	default:
		path := d.Output
		if isDir(path) {
			path = d.path()
		}
		if d.Resume {
			return newPartial(path)
		}
		s, err = sink.NewFile(path)
	}
	return s, held, err
}

// newPartial is a sink that can go on where an earlier one was interrupted.
func newPartial(path string) (kascade.Sink, kascade.Held, error) {
	s, held, err := sink.NewPartial(path)
	if err != nil {
		return nil, held, err
	}
	return s, held, nil
}

// isDir tells whether an output is a directory, or is meant to be one.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() || strings.HasSuffix(path, "/")
}

// brokenSink is a sink that could not be opened.
type brokenSink struct{ err error }

func (s brokenSink) Write([]byte) (int, error)    { return 0, s.failure() }
func (s brokenSink) Commit(context.Context) error { return s.failure() }
func (s brokenSink) Abort(error)                  {}
func (s brokenSink) failure() error               { return fmt.Errorf("open the output: %w", s.err) }
