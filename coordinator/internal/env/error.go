package env

import (
	"fmt"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/apperr"
)

// Error says what is wrong with a description, and in which field (contract 2).
type Error struct {
	Field  string // path/to/field; empty if the text is no YAML at all
	Reason string
	Others []*Error // what else is wrong with it
}

// Error has a line for each problem.
func (e *Error) Error() string {
	text := e.line()
	for _, other := range e.Others {
		text += "\n" + other.line()
	}
	return text
}

func (e *Error) line() string {
	if e.Field == "" {
		return fmt.Sprintf("Error[environment description] %s", e.Reason)
	}
	return fmt.Sprintf("Error[environment description] %s [field: %s]", e.Reason, e.Field)
}

// mostProblems are shown of one description: it may come from anybody.
const mostProblems = 20

// joined is one error out of many; nil of none. Of a field only the first problem
// is told, and nothing of what is missing inside of one that is wrong itself.
func joined(list []*Error) *Error {
	var all []*Error
	for _, e := range list {
		if !slices.ContainsFunc(all, func(known *Error) bool {
			return known.Field == e.Field || known.Field == "" || strings.HasPrefix(e.Field, known.Field+"/")
		}) {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil
	}
	one := *all[0]
	one.Others = all[1:min(len(all), mostProblems)]
	return &one
}

// ApplicationCode makes the error INVALID_ENVIRONMENT for clients.
func (e *Error) ApplicationCode() apperr.Code { return apperr.InvalidEnvironment }

// Warning is something in a description that is not used, or not as its author may think.
type Warning struct {
	Field string
	Text  string // as the client prints it after "Warning[env_desc]: "
}

func (w Warning) String() string { return w.Text }
