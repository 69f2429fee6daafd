package stats

import (
	"strings"
	"time"
)

// Row is what is kept of one node's part in one operation.
type Row struct {
	Workflow  string // its first letter tells the operation: D-, R-, P-
	User      string
	Node      string
	Cluster   string
	Steps     [3]Step // macro-steps; a reboot or a power operation has one
	Start     time.Time
	Env       string // name:version; "" where no environment is involved
	EnvOwner  string
	Anonymous bool // the environment came with the request
	Success   bool
	Error     string // why it failed, on one line
}

// Step is one macro-step of a node. A node that did not come to it has no name there.
type Step struct {
	Name     string        // instance that was tried last
	Timeout  time.Duration // of that instance; 0: none
	Retries  int           // attempts after the first, those of other instances included
	Duration time.Duration // from its first micro-step to the end of its last, all attempts together
}

// Micro is how long the nodes of one cluster were in one micro-step of one operation.
type Micro struct {
	Cluster  string
	Macro    string
	Instance string
	Name     string
	Seconds  []float64 // of each stay that went well
	Failed   int       // stays that did not
}

// Record is all that is kept of one operation.
type Record struct {
	Rows   []Row
	Micros []Micro
}

// maxError bounds what is kept of an error, in bytes.
const maxError = 1024

// ErrorText makes one line of an error, and no longer than is kept.
func ErrorText(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError-3], "") + "..."
}

// Operations are the kinds of operation, by the names that users give them.
var Operations = []string{"deploy", "reboot", "power"}

// Letter is the first letter of the identifiers of an operation's workflows; "" for an unknown one.
func Letter(operation string) string {
	switch operation {
	case "deploy", "deployment":
		return "D"
	case "reboot":
		return "R"
	case "power":
		return "P"
	}
	return ""
}
