package workflow

import (
	"time"

	"kadeploy/coordinator/internal/customops"
)

// Outcome is what the automaton answers to events: what to do now, and what
// happened, in order, for those who watch.
type Outcome struct {
	Commands []Command
	Notices  []Notice
}

// Command is an order to whoever drives the automaton: Run or Kill.
type Command interface{ command() }

// Run starts a micro-step for some nodes. Each of them is to be answered by one
// Passed or Failed event that bears the task's number.
type Run struct {
	Task     int // from 1, never used again
	Run      RunInfo
	Micro    MicroStep
	Op       *customops.Op // nil: an ordinary micro-step
	Nodes    []string
	Limit    time.Duration // the micro-step's own; 0: none
	Deadline time.Time     // a Kill follows then; zero: none
	Again    bool          // the coordinator that ordered it first died: it may be under way, or done
}

// Kill ends a task: its nodes were given up. Events that it still sends are ignored.
type Kill struct{ Task int }

func (Run) command()  {}
func (Kill) command() {}

// RunInfo names one attempt of an instance by a set of nodes.
type RunInfo struct {
	ID       int    // from 1
	After    int    // the run of the same set in the previous macro-step; 0: none
	Set      string // number of the set of nodes; empty while all nodes are together
	Macro    string // macro-step
	Instance string
	Attempt  int // from 0
}

// Verdict is how a node ended.
type Verdict string

// The verdicts. Every node gets exactly one.
const (
	VerdictOK      Verdict = "ok"
	VerdictKO      Verdict = "ko"
	VerdictBreak   Verdict = "brk"       // stopped at a breakpoint, which is a success
	VerdictAborted Verdict = "aborted"   // the workflow was cancelled
	VerdictRefused Verdict = "discarded" // was busy elsewhere, and never touched
)

// Success tells whether a node with this verdict is listed as ok.
func (v Verdict) Success() bool { return v == VerdictOK || v == VerdictBreak }

// Notice is something that happened: one of the types below.
type Notice interface{ notice() }

// Launched: the nodes start. Refused ones are busy elsewhere.
type Launched struct{ Nodes, Refused []string }

// MacroStarted: the first node of a set began its first micro-step in a run.
type MacroStarted struct {
	Run      RunInfo
	Bypassed []string
}

// MacroEnded: the last node of a set left a run.
type MacroEnded struct {
	Run     RunInfo
	Elapsed time.Duration
}

// MicroStarted: the first node of a run entered a micro-step.
type MicroStarted struct {
	Run   RunInfo
	Micro string
}

// MicroEnded: the last node of a run left a micro-step.
type MicroEnded struct {
	Run     RunInfo
	Micro   string
	Elapsed time.Duration
}

// Entered: nodes entered a micro-step. Ready is since when each of them could have.
type Entered struct {
	Run   RunInfo
	Micro string
	Task  int
	Nodes []string
	Ready []time.Time
}

// Left: nodes left a micro-step that went well.
type Left struct {
	Run   RunInfo
	Micro string
	Task  int
	Nodes []string
}

// NodesFailed: nodes left a micro-step that went wrong, all for the same reason, or could not
// enter it in time: Task is 0 then.
type NodesFailed struct {
	Run    RunInfo
	Micro  string
	Task   int
	Nodes  []string
	Reason string
	Again  bool // they repeat the micro-step
}

// TimedOut: a time limit passed; NodesFailed follows.
type TimedOut struct {
	Run   RunInfo
	Step  string // the instance, or the micro-step if it is its own limit
	Nodes []string
}

// Reached: nodes stopped at a breakpoint before Step.
type Reached struct {
	Run   RunInfo
	Step  string
	Nodes []string
}

// Split: some nodes of a set took another way. Root is "0".
type Split struct {
	Set  string
	Into []SetOfNodes
}

// SetOfNodes is one part of a Split.
type SetOfNodes struct {
	Set   string
	Nodes []string
}

// Judged: nodes got their verdict. Instance, Micro and Reason say where and why nodes failed.
type Judged struct {
	Verdict                 Verdict
	Nodes                   []string
	Instance, Micro, Reason string
}

// SetEnded: no node of a set is under way any more; Nodes are those that succeeded.
type SetEnded struct {
	Set     string
	Nodes   []string
	Elapsed time.Duration
}

// Resumed: the coordinator died and came back; it was Away for so long.
type Resumed struct{ Away time.Duration }

// Ended: every node has its verdict.
type Ended struct {
	Total, Failed int
	Elapsed       time.Duration
}

func (Launched) notice()     {}
func (MacroStarted) notice() {}
func (MacroEnded) notice()   {}
func (MicroStarted) notice() {}
func (MicroEnded) notice()   {}
func (Entered) notice()      {}
func (Left) notice()         {}
func (NodesFailed) notice()  {}
func (TimedOut) notice()     {}
func (Reached) notice()      {}
func (Split) notice()        {}
func (Judged) notice()       {}
func (SetEnded) notice()     {}
func (Resumed) notice()      {}
func (Ended) notice()        {}
