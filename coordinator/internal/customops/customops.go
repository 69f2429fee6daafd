// Package customops owns custom operations: what a site or a user has done on
// nodes before, after, or instead of a micro-step. It reads and checks the form
// in which users give them and says which of them belong to a micro-step. It
// runs none, and knows no names of steps: those are handed to it.
package customops

import (
	"slices"
	"strings"
	"time"
)

// Actions of an operation.
const (
	Send = "send" // a file is copied into a directory of the node
	Exec = "exec" // a command line is run by the node's shell
	Run  = "run"  // a script is copied to the node and run
)

// Op is one operation.
type Op struct {
	Name        string
	Action      string
	File        string        `json:",omitempty"` // URI, of send and run
	Site        bool          `json:",omitempty"` // of the site's configuration: its file is read with the coordinator's rights
	Destination string        `json:",omitempty"` // directory on the node, of send; $KADEPLOY_... are replaced
	Command     string        `json:",omitempty"` // of exec
	Params      string        `json:",omitempty"` // shell words, of run
	Timeout     time.Duration `json:",omitempty"` // 0: none
	Retries     int           `json:",omitempty"` // attempts after the first
	Scattering  string        `json:",omitempty"` // tree or chain; files are always sent along a chain
}

// FileKey tells the files of operations apart: the site's from the users'.
func (o *Op) FileKey() string {
	if o.Site {
		return "site " + o.File
	}
	return "user " + o.File
}

// Steps are the operations at one micro-step.
type Steps struct {
	Override   bool `json:",omitempty"` // the site's operations of the positions that are given do not count
	Pre        []Op `json:",omitempty"`
	Substitute []Op `json:",omitempty"` // instead of the micro-step
	Post       []Op `json:",omitempty"`
}

// Set is the operations of a request: by macro-step or instance, as it was
// written, and micro-step.
type Set map[string]map[string]Steps

// Ops lists all operations of a set, in an order that is always the same.
func (s Set) Ops() []Op {
	var all []Op
	for _, macro := range sorted(s) {
		for _, micro := range sorted(s[macro]) {
			all = append(all, s[macro][micro].Ops()...)
		}
	}
	return all
}

// Ops lists all operations at a micro-step.
func (s Steps) Ops() []Op { return slices.Concat(s.Pre, s.Substitute, s.Post) }

// At adds to the site's operations what a set says of a micro-step of an
// instance: after them, or instead of those of the same position. The name of a
// macro-step stands for all its instances, and that of an instance for itself.
// canonical gives the one name that several names of a step have.
func (s Set) At(instance, micro string, site Steps, canonical func(string) string) Steps {
	var user Steps
	for _, macro := range sorted(s) {
		if !strings.HasPrefix(canonical(instance), canonical(macro)) {
			continue
		}
		entry := s[macro][micro]
		if entry.Override {
			site = site.without(entry)
		}
		user = user.with(entry)
	}
	return site.with(user)
}

// without empties the positions at which other has operations.
func (s Steps) without(other Steps) Steps {
	if len(other.Pre) > 0 {
		s.Pre = nil
	}
	if len(other.Substitute) > 0 {
		s.Substitute = nil
	}
	if len(other.Post) > 0 {
		s.Post = nil
	}
	return s
}

func (s Steps) with(more Steps) Steps {
	return Steps{
		Pre:        slices.Concat(s.Pre, more.Pre),
		Substitute: slices.Concat(s.Substitute, more.Substitute),
		Post:       slices.Concat(s.Post, more.Post),
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
