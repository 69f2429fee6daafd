package workflow

import "time"

// Record is one transition of one cluster's automaton, as the journal keeps it:
// the events and the time that the automaton was given. As the automaton is
// deterministic, its records in order rebuild its state.
type Record struct {
	Workflow string
	Cluster  int // index in Request.Clusters
	Seq      int // from 1, without gaps, per cluster
	At       time.Time
	Events   []Event
}

// Interrupted is what the journal keeps of a workflow: of one that never ended, as
// its coordinator died, or of one that did.
type Interrupted struct {
	Request  *Request
	Launched bool // its files were there, and its nodes were claimed or about to be
	Ended    bool
	Records  []Record // by cluster, then by Seq
	// Unreadable says why it cannot be understood, as when another version wrote it;
	// nil otherwise. Of its Request at least the ID is there.
	Unreadable error
}

// EnvRef names the environment that a node got. ID is -1 for an anonymous one.
type EnvRef struct {
	ID      int64
	Name    string
	Version int
	User    string
}

// NodeUpdate is a new state of nodes in the store (contract 4.10).
type NodeUpdate struct {
	Workflow string
	State    string // deploying deployed deploy_failed rebooting ... aborted prod_env
	User     string
	At       time.Time
	Env      *EnvRef // nil: the node keeps the environment that it had
}
