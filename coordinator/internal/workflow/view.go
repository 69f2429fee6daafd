package workflow

import "time"

// View is what anyone may learn of a workflow, running or finished (contract 7.6).
type View struct {
	ID      string
	Kind    Kind
	User    string
	EnvID   int64 // -1 for an anonymous environment
	EnvUser string
	EnvName string // empty when no environment is involved
	EnvVer  int

	Started    time.Time
	Elapsed    time.Duration
	Done       bool
	Failure    *Failure // why the workflow as a whole could not run; nil if it did
	Nodes      []string // all, as requested
	OK, KO     []string
	Processing []string
	Logs       bool // lines are waiting to be read
	Debug      bool // the workflow keeps debug output
}

// Failure is an error of the whole workflow, with its application code (contract 7.3).
type Failure struct {
	Code    int
	Message string
}

func (f *Failure) Error() string { return f.Message }

// NodeState is where one node is (contract 7.6, GET /OP/W/state). For a failed
// node Error has the form "MACRO-MICRO: text" (contract 1.8).
type NodeState struct {
	Macro string `json:"macro"`
	Micro string `json:"micro"`
	State string `json:"state"` // ok ko brk discarded aborted reboot_in_progress rebooted, or "" while running
	Error string `json:"error,omitempty"`
	Out   string `json:"out,omitempty"`
}

// Line is one line of a workflow's text, or of its debug output.
type Line struct {
	Time time.Time
	Text string
}

// Span is one node's stay in one micro-step, for timelines.
type Span struct {
	Node     string    `json:"node"`
	Cluster  string    `json:"cluster"`
	Macro    string    `json:"macro"`
	Instance string    `json:"instance"`
	Micro    string    `json:"micro"`
	Attempt  int       `json:"attempt"`
	Queued   time.Time `json:"queued"` // became ready for the step
	Started  time.Time `json:"started"`
	Begun    time.Time `json:"begun,omitzero"` // left the step's own queue (the window of reboots); zero if it has none
	Ended    time.Time `json:"ended,omitzero"` // zero while it runs
	Error    string    `json:"error,omitempty"`
}

// Live is the momentary picture for a progress display.
type Live struct {
	Macros   []LiveMacro `json:"macros"`
	Progress *Progress   `json:"progress,omitempty"` // of the micro-step that reports one
	Failed   []LiveNode  `json:"failed"`
}

// LiveMacro counts the nodes of one macro-step.
type LiveMacro struct {
	Name    string         `json:"name"`
	Started time.Time      `json:"started,omitzero"`
	Ended   time.Time      `json:"ended,omitzero"`
	Waiting int            `json:"waiting"`
	Running map[string]int `json:"running"` // nodes by micro-step
	Done    int            `json:"done"`
	Failed  int            `json:"failed"`
}

// LiveNode is a failed node and its reason.
type LiveNode struct {
	Node  string `json:"node"`
	Error string `json:"error"`
}

// Status tells, by cluster, where the nodes of a running workflow are.
type Status map[string]ClusterStatus

// ClusterStatus is the Status of one cluster.
type ClusterStatus struct {
	OK, KO []string
	Macros map[string]map[string]MicroStatus // by instance, then by micro-step
}

// MicroStatus tells which nodes passed, failed and are still in one micro-step.
type MicroStatus struct {
	OK, KO, Running []string
	Elapsed         time.Duration
}
