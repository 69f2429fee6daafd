// Package bmc owns the talk with the management controllers of machines, over
// IPMI and Redfish: which of a driver's actions an operation at a level is, and
// how it is asked for. It keeps no connection: a controller is asked rarely, and
// allows few sessions. It decides nothing about levels, windows or retries.
package bmc

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"kadeploy/coordinator/internal/cluster"
)

// Action is what a controller is asked for.
type Action string

// Actions. A Reset keeps the power on, a Cycle cuts it; the gentle ones ask the
// operating system. Reset and Cycle of a machine that is off switch it on.
const (
	None            Action = ""
	On              Action = "on"
	Off             Action = "off"
	GentleOff       Action = "gentle off"
	Reset           Action = "reset"
	GentleRestart   Action = "gentle restart"
	Cycle           Action = "cycle"
	Status          Action = "status"
	answerWithin           = 5 * time.Second // of one request
	attempts               = 3
	standardPort           = 623 // IPMI over LAN
	standardWebPort        = 443
)

// actions has, by operation as the configuration names it, the action at each
// level. IPMI cannot ask an operating system to restart.
var actions = map[string]map[string][cluster.Levels]Action{
	cluster.IPMI: {
		"reboot":       {None, Reset, Cycle},
		"power_on":     {On, On, On},
		"power_off":    {GentleOff, Off, Off},
		"power_status": {Status, Status, Status},
	},
	cluster.Redfish: {
		"reboot":       {GentleRestart, Reset, Cycle},
		"power_on":     {On, On, On},
		"power_off":    {GentleOff, Off, Off},
		"power_status": {Status, Status, Status},
	},
}

// ActionFor is the action for an operation at a level; None if the driver has none.
func ActionFor(driver, op string, level int) Action {
	levels, known := actions[driver][op]
	if !known || level < 0 || level >= len(levels) {
		return None
	}
	return levels[level]
}

// controller is an open session.
type controller interface {
	do(ctx context.Context, a Action) error
	on(ctx context.Context) (bool, error)
	close(ctx context.Context) error
}

// Do asks the controller at host for an action. Of Status the answer is "on" or "off".
func Do(ctx context.Context, b cluster.BMC, host string, a Action) (answer string, err error) {
	open := openIPMI
	if b.Driver == cluster.Redfish {
		open = openRedfish
	}
	c, err := open(ctx, b, host)
	if err != nil {
		return "", fmt.Errorf("%s controller %s: %w", b.Driver, host, err)
	}
	defer func() {
		if cerr := c.close(context.WithoutCancel(ctx)); err == nil && cerr != nil {
			err = fmt.Errorf("%s controller %s: end the session: %w", b.Driver, host, cerr)
		}
	}()
	if answer, err = ask(ctx, c, a); err != nil {
		return "", fmt.Errorf("%s controller %s: %s: %w", b.Driver, host, a, err)
	}
	return answer, nil
}

func ask(ctx context.Context, c controller, a Action) (string, error) {
	if a == Status || a == Reset || a == Cycle {
		on, err := c.on(ctx)
		switch {
		case err != nil:
			return "", err
		case a != Status && !on:
			return "", c.do(ctx, On)
		case a != Status:
			return "", c.do(ctx, a)
		case on:
			return "on", nil
		}
		return "off", nil
	}
	return "", c.do(ctx, a)
}

// address is host and port, of which the first may name another than the usual one.
func address(host string, usual int) (name string, port int, err error) {
	name, text, err := net.SplitHostPort(host)
	if err != nil {
		return host, usual, nil // a name or an address alone
	}
	if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", text)
	}
	return name, port, nil
}
