// Package engine drives workflows: it feeds the automata of package workflow,
// journals each transition, runs the micro-steps that they command with a
// deadline on each, and keeps what users may ask about: text, states, timelines.
//
// It never touches a node, a file or a database itself: steps, journal and node
// states are handed to it.
package engine
