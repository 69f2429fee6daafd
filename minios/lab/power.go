package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// PowerAction is what one can do with the power switch of a machine.
type PowerAction string

// The power switch. Each takes effect before Power returns.
const (
	PowerOn    PowerAction = "on"    // nothing if it is on
	PowerOff   PowerAction = "off"   // a cut: the guest is not told; nothing if it is off
	PowerCycle PowerAction = "cycle" // off, then on; a machine that is off is switched on
	PowerReset PowerAction = "reset" // the reset button; an error if it is off
)

// QEMU's run states that matter here (QEMU, qapi/run-state.json).
const (
	stateRunning   = "running"
	statePrelaunch = "prelaunch" // reset and stopped: the first instruction is still to come
	stateShutdown  = "shutdown"  // the guest powered itself off
)

// A machine that is on runs. Off is any state in which it does not: one that
// was switched off has been stopped and then reset, so that neither its
// processor's nor its devices' state survives; one that powered itself off
// waits in stateShutdown, and is reset before it is switched on.

// Power works the power switch of a node.
func (l *Lab) Power(ctx context.Context, node string, action PowerAction) error {
	return l.withMonitor(ctx, node, "power "+string(action), func(m *monitor) error {
		switch action {
		case PowerOn:
			return m.powerOn(ctx)
		case PowerOff:
			return m.powerOff(ctx)
		case PowerCycle:
			return errors.Join(m.powerOff(ctx), m.powerOn(ctx))
		case PowerReset:
			return m.reset(ctx)
		}
		return errors.New("no such action: it is one of on, off, cycle, reset")
	})
}

// PowerStatus tells whether a node is on.
func (l *Lab) PowerStatus(ctx context.Context, node string) (on bool, err error) {
	err = l.withMonitor(ctx, node, "power status", func(m *monitor) error {
		state, err := m.state(ctx)
		on = state == stateRunning
		return err
	})
	return on, err
}

// SetLink plugs or unplugs the network cable of a node.
func (l *Lab) SetLink(ctx context.Context, node string, up bool) error {
	return l.withMonitor(ctx, node, "set link", func(m *monitor) error {
		return m.execute(ctx, "set_link", map[string]any{"name": "net0", "up": up}, nil)
	})
}

func (l *Lab) withMonitor(ctx context.Context, node, what string, f func(*monitor) error) error {
	n, err := l.Node(node)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	m, err := dialMonitor(ctx, n.QMPSocket)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, n.Name, err)
	}
	defer m.close()
	if err := f(m); err != nil {
		return fmt.Errorf("%s %s: %w", what, n.Name, err)
	}
	return nil
}

func (m *monitor) state(ctx context.Context) (string, error) {
	var reply struct {
		Status string `json:"status"`
	}
	err := m.execute(ctx, "query-status", nil, &reply)
	return reply.Status, err
}

func (m *monitor) powerOn(ctx context.Context) error {
	state, err := m.state(ctx)
	if err != nil || state == stateRunning {
		return err
	}
	if state != statePrelaunch {
		if err := m.resetStopped(ctx); err != nil {
			return err
		}
	}
	return m.execute(ctx, "cont", nil, nil)
}

func (m *monitor) powerOff(ctx context.Context) error {
	state, err := m.state(ctx)
	if err != nil || state == statePrelaunch || state == stateShutdown {
		return err
	}
	if err := m.execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	return m.resetStopped(ctx)
}

func (m *monitor) reset(ctx context.Context) error {
	state, err := m.state(ctx)
	if err != nil {
		return err
	}
	if state != stateRunning {
		return fmt.Errorf("the machine is off (%s): switch it on instead", state)
	}
	return m.execute(ctx, "system_reset", nil, nil)
}

// resetStopped resets a stopped machine. QEMU answers before it has done so,
// and a `cont` that comes first is refused, or runs the guest a little further.
func (m *monitor) resetStopped(ctx context.Context) error {
	if err := m.execute(ctx, "system_reset", nil, nil); err != nil {
		return err
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		state, err := m.state(ctx)
		if err != nil || state == statePrelaunch {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the reset (%s): %w", state, ctx.Err())
		case <-again.C:
		}
	}
}
