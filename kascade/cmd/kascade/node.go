package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/control"
	"kadeploy/kascade/internal/launch"
)

// runNode is the part of a node that was started by hand.
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
	b, err := launch.Attend(ctx, link, "")
	if err != nil {
		return err
	}
	d, err := o.byHand(name, b)
	if err != nil {
		link.Close()
		return err
	}
	return o.join(ctx, link, d)
}

// reach dials the head once a second, until it answers or the retries are over.
func (o *options) reach(ctx context.Context, address, name string) (net.Conn, error) {
	begin := time.Now()
	for try := 1; ; try++ {
		link, err := control.Dial(ctx, address, o.key, name)
		tries := o.retry
		if o.late.given && time.Since(begin) >= o.late.after {
			tries = o.late.tries
		}
		if err == nil || try > tries || ctx.Err() != nil || errors.Is(err, control.ErrNotProved) {
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

// join is the node's part once it has its order.
func (o *options) join(ctx context.Context, link io.ReadWriteCloser, d order) error {
	s, held, err := openSink(d, o.errs)
	if err != nil {
		// The head learns why, as from any other sink that fails.
		s = brokenSink{err}
	}
	return kascade.Join(ctx, link, s, kascade.NodeOptions{Logger: o.log.With("node", d.Name), Listen: d.listen(), Held: held})
}

// attendCommand is the node that the ssh launcher starts.
func (o *options) attendCommand() *cobra.Command {
	return &cobra.Command{
		Use:    launch.NodeCommand,
		Hidden: true,
		Short:  "The part of a node whose head is at the other end of its standard input and output",
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return o.runAttend(cmd.Context()) },
	}
}

func (o *options) runAttend(ctx context.Context) error {
	if err := launch.RemoveCopy(); err != nil {
		return fmt.Errorf("remove the copy of the program: %w", err)
	}
	link, err := newStdio()
	if err != nil {
		return err
	}
	b, err := launch.Attend(ctx, link, launch.Address())
	if err != nil {
		return err
	}
	d, err := readOrder(b)
	if err != nil {
		link.Close()
		return err
	}
	o.log = newLog(o.errs, levels[strings.ToLower(d.Verbose)])
	return o.join(ctx, link, d)
}

// stdio is the standard input and output as a link that can be closed under a Read.
type stdio struct{ in, out *os.File }

func newStdio() (stdio, error) {
	for fd := range 2 {
		if err := syscall.SetNonblock(fd, true); err != nil { // else Close would wait for Read
			return stdio{}, err
		}
	}
	return stdio{os.NewFile(0, "standard input"), os.NewFile(1, "standard output")}, nil
}

func (s stdio) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s stdio) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s stdio) Close() error                { return errors.Join(s.in.Close(), s.out.Close()) }
