// Package workflow is the automaton of a deployment, a reboot or a power
// operation: macro-steps made of instances made of micro-steps, each node on
// its own way through them, with retries, fallbacks and time limits. It is
// pure: it is given events and the time, and answers with the commands to run.
// It starts no goroutine and does no I/O.
package workflow
