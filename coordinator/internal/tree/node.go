package tree

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Node is one place in a document: a map, a list, a scalar, or a place where
// there is nothing. A field whose value is null counts as absent. Reading what
// is absent gives the default; reading what has another type gives the default
// too and adds a problem to the document.
type Node struct {
	doc    *Document
	path   string
	yaml   *yaml.Node // nil: absent
	line   int        // of the nearest place that exists
	read   bool       // as a map or as a list: then the following is filled
	fields []*Node
	keys   []string       // keys[i] is the key of fields[i] of a map
	index  map[string]int // of a map: where a key is in keys
	used   []bool         // used[i]: somebody asked for fields[i]
}

// maxMerges bounds the merge keys (<<) that are followed in a document: they
// may form a circle, or name each other often enough to take for ever.
const maxMerges = 1000

// Exists tells whether there is a value.
func (n *Node) Exists() bool {
	v := n.value()
	return v != nil && v.ShortTag() != "!!null"
}

// value is the YAML node, behind an alias if it is one.
func (n *Node) value() *yaml.Node {
	if n.yaml == nil || n.yaml.Kind == 0 {
		return nil
	}
	if n.yaml.Kind == yaml.AliasNode {
		return n.yaml.Alias
	}
	return n.yaml
}

// IsMap tells whether the value is a map.
func (n *Node) IsMap() bool { return n.Exists() && n.value().Kind == yaml.MappingNode }

// Path is where the node stands: keys and indices joined by slashes.
func (n *Node) Path() string { return n.path }

// Line is the line of the node, or of the nearest node around it that exists.
func (n *Node) Line() int {
	if n.yaml != nil && n.yaml.Line > 0 {
		return n.yaml.Line
	}
	return n.line
}

// Fail adds a problem at this node.
func (n *Node) Fail(format string, args ...any) {
	n.doc.problems = append(n.doc.problems, Problem{Line: n.Line(), Path: n.path, Reason: fmt.Sprintf(format, args...)})
}

// Must makes a problem of an absent node. It returns the node, for chaining.
func (n *Node) Must() *Node {
	if !n.Exists() {
		n.Fail("The field is mandatory")
	}
	return n
}

func (n *Node) is(kind yaml.Kind, what string) bool {
	if !n.Exists() {
		return false
	}
	if n.value().Kind != kind {
		n.wrong(what)
		return false
	}
	return true
}

func (n *Node) wrong(what string) { n.Fail("Wrong type, the field must be %s", what) }

// Get is the field of a map. It is absent if the map is, or has no such field.
func (n *Node) Get(key string) *Node {
	n.open()
	if i, ok := n.index[key]; ok {
		n.used[i] = true
		return n.fields[i]
	}
	return &Node{doc: n.doc, path: join(n.path, key), line: n.Line()}
}

// Keys are the keys of a map, in order; Get is still to be called for each that is known.
func (n *Node) Keys() []string {
	n.open()
	return n.keys
}

// Items are the elements of a list.
func (n *Node) Items() []*Node {
	if n.read {
		return n.fields
	}
	n.read = true // also when it is none: a problem is told once
	if !n.is(yaml.SequenceNode, "a list") {
		return nil
	}
	for i, item := range n.value().Content {
		n.fields = append(n.fields, n.child(strconv.Itoa(i), item))
		n.keys = append(n.keys, "")
		n.used = append(n.used, true)
	}
	return n.fields
}

// open reads the node as a map, once.
func (n *Node) open() {
	if n.read {
		return
	}
	n.read = true
	if !n.is(yaml.MappingNode, "a map") {
		return
	}
	n.index = make(map[string]int)
	n.add(n.value(), false)
}

// add takes over the fields of a YAML map; of a merged one only those that are not there yet.
func (n *Node) add(m *yaml.Node, merging bool) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if _, there := n.index[key.Value]; there {
			if !merging {
				n.child(key.Value, key).Fail("The field is given twice")
			}
			continue
		}
		n.index[key.Value] = len(n.keys)
		n.keys = append(n.keys, key.Value)
		n.fields = append(n.fields, n.child(key.Value, value))
		n.used = append(n.used, false)
	}
	for _, source := range merged {
		n.merge(source)
	}
}

func (n *Node) merge(source *yaml.Node) {
	if source.Kind == yaml.AliasNode {
		source = source.Alias
	}
	n.doc.merges++
	if n.doc.merges == maxMerges {
		n.Fail("Too many merged maps in this document")
	}
	if n.doc.merges >= maxMerges {
		return
	}
	switch source.Kind {
	case yaml.MappingNode:
		n.add(source, true)
	case yaml.SequenceNode:
		for _, one := range source.Content {
			n.merge(one)
		}
	}
}

func (n *Node) child(key string, value *yaml.Node) *Node {
	return &Node{doc: n.doc, path: join(n.path, key), yaml: value, line: n.Line()}
}

func join(path, key string) string { return strings.TrimPrefix(path+"/"+key, "/") }

func (n *Node) unused(into *[]Problem) {
	for i, field := range n.fields {
		if n.used[i] {
			field.unused(into)
		} else {
			*into = append(*into, Problem{Line: field.Line(), Path: field.path, Reason: "Unused field"})
		}
	}
}
