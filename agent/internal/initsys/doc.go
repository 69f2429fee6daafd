// Package initsys owns the duties of the mini-OS's first process: the kernel's
// file systems, drivers, network, names, sshd, the port that marks the mini-OS,
// the reaping of orphans, and the end of the system. It keeps a worker running,
// which talks to the coordinator, and knows nothing of what that does.
//
// The first process must not end: the kernel panics when it does. Each duty
// therefore runs under guard, which turns a panic into a line on the console.
package initsys
