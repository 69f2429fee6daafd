// Package kascade puts one stream of bytes on many hosts through a chain of TCP
// connections: the head feeds the first node, each node feeds the next one as
// the bytes come, and consumes a verified copy. The protocol is SPEC.md.
//
// Broadcast is the head. It decides everything: the order, who feeds whom, who
// is dead. Join is the part of a node, which obeys. The two talk over a control
// link that the caller provides and that must already be authentic; what flows
// between nodes is proved against a key and a manifest that travel over it.
//
// The package never starts processes, never chooses where bytes are stored, and
// never decides how control links are made: see cmd/kascade and its callers.
package kascade
