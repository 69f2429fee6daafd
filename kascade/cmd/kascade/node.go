package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/control"
	"kadeploy/kascade/internal/sink"
)

// runNode is a node's part.
func (o *options) runNode(ctx context.Context) error {
	name, err := o.self()
	if err != nil {
		return err
	}
	address := o.master
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, strconv.Itoa(o.port))
	}
	link, err := o.reach(ctx, address, name)
	if err != nil {
		return err
	}
	s, err := o.openSink()
	if err != nil {
		// The head learns why, as from any other sink that fails.
		s = brokenSink{err}
	}
	return kascade.Join(ctx, link, s, kascade.NodeOptions{Logger: o.log.With("node", name)})
}

// reach dials the head once a second, until it answers or --retry is over.
func (o *options) reach(ctx context.Context, address, name string) (net.Conn, error) {
	for try := 1; ; try++ {
		link, err := control.Dial(ctx, address, o.key, name)
		if err == nil || try > o.retry || ctx.Err() != nil || errors.Is(err, control.ErrNotProved) {
			return link, err
		}
		o.log.Info("head not reached yet", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (o *options) openSink() (kascade.Sink, error) {
	switch {
	case o.outputCmd != "":
		return sink.NewCommand(o.outputCmd, o.errs)
	case o.output == "-":
		return sink.Stream{W: os.Stdout}, nil
	}
	return sink.NewFile(o.output)
}

// brokenSink is a sink that could not be opened.
type brokenSink struct{ err error }

func (s brokenSink) Write([]byte) (int, error)    { return 0, s.failure() }
func (s brokenSink) Commit(context.Context) error { return s.failure() }
func (s brokenSink) Abort(error)                  {}
func (s brokenSink) failure() error               { return fmt.Errorf("open the output: %w", s.err) }
