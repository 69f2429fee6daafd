// Package rehearse is the world around a coordinator that rehearses: machines that
// exist in memory only, with faults that a seed gives them, and the judgement whether
// the coordinator found out exactly what was wrong with whom. The machines are real
// where the coordinator meets them: they have addresses on the loopback network, fetch
// their boot scripts, dial the agents' port, serve the agent's RPCs, relay in the
// chain, and open the ports that probes look for. Only what is behind that is missing:
// firmware, disks, kernels.
//
// The package runs no coordinator and no command of a site.
package rehearse
