package power

import (
	"fmt"
	"strings"
)

// failure is why a node could not be handled: what happened at each level.
type failure struct {
	node    string
	op      Op
	causes  []error // one for each level that was tried
	stopped error   // why the operation was given up before its end, or nil
}

// Error lists the levels in the order in which they were tried.
func (f *failure) Error() string {
	parts := make([]string, 0, len(f.causes)+1)
	for _, c := range f.causes {
		parts = append(parts, c.Error())
	}
	if f.stopped != nil {
		parts = append(parts, fmt.Sprintf("%s of %s given up: %v", f.op, f.node, f.stopped))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%s of %s: no such level", f.op, f.node)
	}
	return strings.Join(parts, "; ")
}

// Unwrap gives the causes to errors.Is and errors.As.
func (f *failure) Unwrap() []error {
	if f.stopped == nil {
		return f.causes
	}
	return append(f.causes[:len(f.causes):len(f.causes)], f.stopped)
}
