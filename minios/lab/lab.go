// Package lab runs a small site on one Linux machine: QEMU nodes with blank
// disks, network-booting, on a bridge of their own in a network namespace, with
// power switches and serial consoles.
//
// It owns the namespace, the bridge, the taps, the QEMU processes and their
// files, all of them described by lab.json in the lab's directory, and nothing
// else on the machine. It serves nothing to the nodes (DHCP, images), knows
// nothing of what boots on them, and never ends a process that it did not start.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// undoTime bounds the taking down of a lab whose coming up failed or was interrupted.
const undoTime = 20 * time.Second

// Lab is a lab that is up. Its methods may be called by several processes at once.
type Lab struct {
	plan Plan
	log  *slog.Logger
}

// Up creates the lab and starts its machines, powered off. When it fails, or
// ctx ends, it takes away whatever it had created.
func Up(ctx context.Context, options Options) (_ *Lab, err error) {
	options = options.withDefaults()
	if err := options.check(); err != nil {
		return nil, err
	}
	host, err := checkHost(options)
	if err != nil {
		return nil, err
	}
	accelerator, why := chooseAccelerator(ctx, options.Accelerator, host.qemu)
	options.Logger.Info("accelerator chosen", "accelerator", accelerator, "reason", why)

	plan, err := newPlan(options, host, accelerator)
	if err != nil {
		return nil, err
	}
	plan.AcceleratorReason = why
	l := &Lab{plan: plan, log: options.Logger}

	if err := l.plan.checkFree(); err != nil {
		return nil, err
	}
	if err := l.checkNamespace(); err != nil {
		return nil, err
	}
	// The plan is on the disk before anything that it names exists, so that
	// whatever happens to this process, Down finds everything.
	if err := l.plan.create(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
			defer cancel()
			err = errors.Join(err, l.Down(undo))
		}
	}()
	if err := l.createNetwork(); err != nil {
		return nil, err
	}
	for i := range l.plan.Nodes {
		if err := l.startMachine(ctx, &l.plan.Nodes[i]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Open finds the lab that is up in a directory.
func Open(directory string, log *slog.Logger) (*Lab, error) {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return nil, fmt.Errorf("lab directory %s: %w", directory, err)
	}
	plan, err := readPlan(directory)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no lab is up in %s: start one with `lab up --dir %s`", directory, directory)
	}
	if err != nil {
		return nil, err
	}
	return &Lab{plan: plan, log: log}, nil
}

// Down ends the machines, and removes the namespace and every file of the lab.
// Taking down a lab of which only a part is left is not an error.
func (l *Lab) Down(ctx context.Context) error {
	var errs []error
	for i := range l.plan.Nodes {
		errs = append(errs, l.stopMachine(ctx, &l.plan.Nodes[i]))
	}
	if err := errors.Join(errs...); err != nil {
		return err // the plan stays, so that Down can be tried again
	}
	if err := l.removeNetwork(); err != nil {
		return err
	}
	return l.plan.remove()
}

// Plan returns what the lab consists of.
func (l *Lab) Plan() Plan { return l.plan }

// Nodes returns the machines in their order.
func (l *Lab) Nodes() []Node { return l.plan.Nodes }

// Node finds a machine by its full or its short name.
func (l *Lab) Node(name string) (Node, error) {
	for _, n := range l.plan.Nodes {
		if name == n.Name || name == n.Short {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("no machine is called %s: the lab has %s to %s",
		name, l.plan.Nodes[0].Name, l.plan.Nodes[len(l.plan.Nodes)-1].Name)
}
