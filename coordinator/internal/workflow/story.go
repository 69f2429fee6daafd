package workflow

import "time"

// Story is what is kept of a workflow that is over: where each node was when,
// and what is known of each failure.
type Story struct {
	ID       string     `json:"wid"`
	Kind     Kind       `json:"kind"`
	User     string     `json:"user"`
	Env      string     `json:"environment,omitempty"` // name:version
	Started  time.Time  `json:"started"`
	Ended    time.Time  `json:"ended,omitzero"` // zero while it runs
	Spans    []Span     `json:"spans"`
	Failures []Evidence `json:"failures"`
}

// Evidence is what a node's console and its agent said around a failure of it.
type Evidence struct {
	Node     string    `json:"node"`
	Cluster  string    `json:"cluster"`
	Macro    string    `json:"macro"`
	Instance string    `json:"instance"`
	Micro    string    `json:"micro"`
	Attempt  int       `json:"attempt"`
	Time     time.Time `json:"time"`
	Reason   string    `json:"reason"`
	Console  string    `json:"console,omitempty"` // last lines of the serial console; empty if the site keeps none
	Agent    string    `json:"agent,omitempty"`   // last lines of the agent's log; empty if it could not be asked
}
