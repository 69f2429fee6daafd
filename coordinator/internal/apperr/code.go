// Package apperr owns the application errors of the REST interface: their
// numbers, their names and their general texts (contract 7.3), and the two
// refusals that have an HTTP status of their own. It never speaks HTTP.
package apperr

import "fmt"

// Code is the number of an application error. Clients use it as exit status.
type Code int

// The codes, numbered as clients expect them.
const (
	BadConfiguration       Code = 0
	InvalidWorkflowID      Code = 1
	InvalidNodelist        Code = 2
	InvalidClient          Code = 3
	InvalidOption          Code = 4
	InvalidFile            Code = 5
	InvalidRights          Code = 6
	InvalidEnvironment     Code = 7
	InvalidCustomOp        Code = 8
	InvalidVLAN            Code = 9
	ExistingElement        Code = 10
	ConflictingElements    Code = 11
	MissingOption          Code = 12
	ConflictingOptions     Code = 13
	NothingModified        Code = 14
	ExecuteError           Code = 15
	DatabaseError          Code = 20
	CacheError             Code = 21
	CacheFull              Code = 22
	DestructiveEnvironment Code = 30
)

type meaning struct{ name, text string }

func (c Code) meaning() meaning {
	switch c {
	case BadConfiguration:
		return meaning{"BAD_CONFIGURATION", "Invalid configuration"}
	case InvalidWorkflowID:
		return meaning{"INVALID_WORKFLOW_ID", "Invalid workflow ID"}
	case InvalidNodelist:
		return meaning{"INVALID_NODELIST", "Invalid node list"}
	case InvalidClient:
		return meaning{"INVALID_CLIENT", "Invalid client's export server"}
	case InvalidOption:
		return meaning{"INVALID_OPTION", "Invalid option"}
	case InvalidFile:
		return meaning{"INVALID_FILE", "Invalid file"}
	case InvalidRights:
		return meaning{"INVALID_RIGHTS", "You do not have sufficient rights to perform the operation"}
	case InvalidEnvironment:
		return meaning{"INVALID_ENVIRONMENT", "Invalid environment specification"}
	case InvalidCustomOp:
		return meaning{"INVALID_CUSTOMOP", "Invalid custom operations specification"}
	case InvalidVLAN:
		return meaning{"INVALID_VLAN", "Invalid VLAN"}
	case ExistingElement:
		return meaning{"EXISTING_ELEMENT", "Element already exists"}
	case ConflictingElements:
		return meaning{"CONFLICTING_ELEMENTS", "Some elements already exist and conflict"}
	case MissingOption:
		return meaning{"MISSING_OPTION", "Missing option"}
	case ConflictingOptions:
		return meaning{"CONFLICTING_OPTIONS", "Conflicting options"}
	case NothingModified:
		return meaning{"NOTHING_MODIFIED", "No element has been modified"}
	case ExecuteError:
		return meaning{"EXECUTE_ERROR", "The execution of a command failed"}
	case DatabaseError:
		return meaning{"DATABASE_ERROR", "Database issue"}
	case CacheError:
		return meaning{"CACHE_ERROR", "Cache issue"}
	case CacheFull:
		return meaning{"CACHE_FULL", "The cache is full"}
	case DestructiveEnvironment:
		return meaning{"DESTRUCTIVE_ENVIRONMENT", "Cannot reboot since a destructive environment is deployed"}
	}
	return meaning{fmt.Sprintf("ERROR_%d", int(c)), fmt.Sprintf("Error %d", int(c))}
}

// Name is the code's name in capitals, as in EXISTING_ELEMENT.
func (c Code) Name() string { return c.meaning().name }

// Text is the general sentence that starts the body of every answer with this code.
func (c Code) Text() string { return c.meaning().text }

// String is Name with the number, for logs.
func (c Code) String() string { return fmt.Sprintf("%s (%d)", c.Name(), int(c)) }
