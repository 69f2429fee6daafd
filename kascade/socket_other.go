//go:build !linux

package kascade

import (
	"errors"
	"syscall"
)

const rawSockets = false

// tuneSocket leaves the socket as the system makes it.
func tuneSocket(_, _ string, _ syscall.RawConn) error { return nil }

func setLowWater(int, int) {}

func readSocket(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeSocket(int, [][]byte) (int, error) { return 0, errors.ErrUnsupported }
