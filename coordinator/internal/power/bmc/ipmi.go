package bmc

import (
	"context"
	"errors"
	"fmt"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/command/chassis"
	"github.com/bougou/go-ipmi/pkg/types"

	"kadeploy/coordinator/internal/cluster"
)

// ipmi is a session of IPMI 2.0 over LAN, with cipher suite 3 or 17 (SHA1 or SHA256 with AES).
type ipmi struct{ c *client.Client }

func openIPMI(ctx context.Context, b cluster.BMC, host string) (controller, error) {
	name, port, err := address(host, standardPort)
	if err != nil {
		return nil, err
	}
	c, err := client.NewClient(name, port, b.User, b.Password)
	if err != nil {
		return nil, err
	}
	c.WithInterface(client.InterfaceLanplus).WithTimeout(answerWithin).WithRetry(attempts-1).
		WithCipherSuiteID(types.CipherSuiteID17, types.CipherSuiteID3).WithMaxPrivilegeLevel(types.PrivilegeLevelOperator)
	if err := c.Connect(ctx); err != nil {
		return nil, fmt.Errorf("no session: %w: check address, user and password", errors.Join(err, context.Cause(ctx)))
	}
	return ipmi{c}, nil
}

func (i ipmi) close(ctx context.Context) error { return i.c.Close(ctx) }

func (i ipmi) on(ctx context.Context) (bool, error) {
	s, err := i.c.GetChassisStatus(ctx)
	if err != nil {
		return false, err
	}
	return s.PowerIsOn, nil
}

func (i ipmi) do(ctx context.Context, a Action) error {
	control, known := map[Action]chassis.ChassisControl{
		On: chassis.ChassisControlPowerUp, Off: chassis.ChassisControlPowerDown, GentleOff: chassis.ChassisControlSoftShutdown,
		Reset: chassis.ChassisControlHardReset, Cycle: chassis.ChassisControlPowerCycle,
	}[a]
	if !known {
		return fmt.Errorf("IPMI has no %q", a)
	}
	_, err := i.c.ChassisControl(ctx, control)
	return err
}
