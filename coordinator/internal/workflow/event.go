package workflow

// EventKind says what happened.
type EventKind string

// The kinds of event. Time limits are not events: the automaton finds by itself,
// from the time that it is handed, which have passed.
const (
	Begin   EventKind = "begin"   // the nodes are ours; start
	Passed  EventKind = "passed"  // Node finished its micro-step
	Failed  EventKind = "failed"  // Node failed in its micro-step, for Reason
	Fetched EventKind = "fetched" // the image is here
	Cancel  EventKind = "cancel"  // stop; nodes without a verdict are aborted
	Fail    EventKind = "fail"    // stop; nodes without a verdict are failed, for Reason
	Resume  EventKind = "resume"  // the coordinator is back: tasks are ordered again, the time it was away does not count
)

// Event is something that happened outside of the automaton.
type Event struct {
	Kind     EventKind `json:"kind"`
	Task     int       `json:"task,omitempty"`
	Node     string    `json:"node,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Fetching bool      `json:"fetching,omitempty"` // of Begin: the image is still to come; Fetched follows
	Refused  []string  `json:"refused,omitempty"`  // of Begin: nodes that are busy elsewhere
	Plan     string    `json:"plan,omitempty"`     // of Begin: the Plan's Sum; another program may plan otherwise
}
