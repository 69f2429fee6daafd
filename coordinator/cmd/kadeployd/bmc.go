package main

import (
	"context"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/power"
	"kadeploy/coordinator/internal/power/bmc"
)

// controllers lets package power reach the management controllers.
type controllers struct{}

func (controllers) Has(driver string, op power.Op, level int) bool {
	return bmc.ActionFor(driver, string(op), level) != bmc.None
}

func (controllers) Control(ctx context.Context, b cluster.BMC, host string, op power.Op, level int) (string, error) {
	return bmc.Do(ctx, b, host, bmc.ActionFor(b.Driver, string(op), level))
}
