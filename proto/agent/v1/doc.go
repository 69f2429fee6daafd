// Package agentv1 is what the coordinator asks the agent of a node to do; all
// but this file is generated from agent.proto.
package agentv1
