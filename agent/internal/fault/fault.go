// Package fault says of what kind a failure on the node is, so that the service
// can answer with the status code that agent.proto promises. It holds no text
// of its own: the message is the caller's, complete as it stands.
package fault

import (
	"errors"
	"fmt"
)

// Kind is what a caller can do about a failure.
type Kind int

// The kinds of failure. Internal is that of every error that nobody classified.
const (
	Internal     Kind = iota // something went wrong on the node
	Invalid                  // the request cannot be meant; asking again will not help
	Precondition             // the node is not in the state that the request needs
	DataLoss                 // received bytes are not what was sent
)

type fault struct {
	kind Kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// Invalidf makes an error of kind Invalid; format is that of fmt.Errorf.
func Invalidf(format string, args ...any) error {
	return &fault{Invalid, fmt.Errorf(format, args...)}
}

// Preconditionf makes an error of kind Precondition.
func Preconditionf(format string, args ...any) error {
	return &fault{Precondition, fmt.Errorf(format, args...)}
}

// DataLossf makes an error of kind DataLoss.
func DataLossf(format string, args ...any) error {
	return &fault{DataLoss, fmt.Errorf(format, args...)}
}

// KindOf returns the kind of the outermost classified error in err's chain.
func KindOf(err error) Kind {
	if f, ok := errors.AsType[*fault](err); ok {
		return f.kind
	}
	return Internal
}
