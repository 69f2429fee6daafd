package lab

import (
	"bytes"
	"context"
	"time"
)

var (
	PlainText = plainText
	LastLines = lastLines
)

// Probe runs the probe guest.
func Probe(ctx context.Context, qemu, accelerator string, limit time.Duration) error {
	return probe(ctx, qemu, accelerator, limit)
}

// ParseMessages reads QEMU's messages until the first that is none, and counts them.
func ParseMessages(data []byte) (count int) {
	messages := newMessages(bytes.NewReader(data))
	for {
		if _, err := nextMessage(messages); err != nil {
			return count
		}
		count++
	}
}

// NewPlan makes a plan without looking at the host.
func NewPlan(o Options) (Plan, error) { return newPlan(o.withDefaults(), host{qemu: "qemu"}, TCG) }

// Create writes a plan as Up does.
func (p Plan) Create() error { return p.create() }

// Execute sends a QMP command to a node.
func (l *Lab) Execute(ctx context.Context, node, command string) error {
	return l.withMonitor(ctx, node, "execute", func(m *monitor) error { return m.execute(ctx, command, nil, nil) })
}
