package env

import (
	"fmt"

	"kadeploy/coordinator/internal/apperr"
)

// Error says what is wrong with a description, and in which field (contract 2).
type Error struct {
	Field  string // path/to/field; empty if the text is no YAML at all
	Reason string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("Error[environment description] %s", e.Reason)
	}
	return fmt.Sprintf("Error[environment description] %s [field: %s]", e.Reason, e.Field)
}

// ApplicationCode makes the error INVALID_ENVIRONMENT for clients.
func (e *Error) ApplicationCode() apperr.Code { return apperr.InvalidEnvironment }

// Warning is something in a description that is not used, or not as its author may think.
type Warning struct {
	Field string
	Text  string // as the client prints it after "Warning[env_desc]: "
}

func (w Warning) String() string { return w.Text }
