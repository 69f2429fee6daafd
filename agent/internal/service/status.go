package service

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
)

// statusOf turns a failure into the status that agent.proto promises. Its
// message is err's: complete as it stands, on one line.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codeOf(err), strings.ReplaceAll(err.Error(), "\n", "; "))
}

func codeOf(err error) codes.Code {
	switch fault.KindOf(err) {
	case fault.Invalid:
		return codes.InvalidArgument
	case fault.Precondition:
		return codes.FailedPrecondition
	case fault.DataLoss:
		return codes.DataLoss
	}
	if _, ok := errors.AsType[*command.ExitError](err); ok {
		return codes.Aborted
	}
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return codes.Internal
}
