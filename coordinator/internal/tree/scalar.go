package tree

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// String is the text of a string. Dates, which YAML tells from strings by their
// look, are strings here.
func (n *Node) String(otherwise string) string {
	if !n.Exists() {
		return otherwise
	}
	if !n.isString() {
		n.wrong("a string")
		return otherwise
	}
	return n.value().Value
}

func (n *Node) isString() bool {
	v := n.value()
	return v.Kind == yaml.ScalarNode && (v.ShortTag() == "!!str" || v.ShortTag() == "!!timestamp")
}

// Text is any scalar as it is written: for values that are strings but that
// people write as numbers.
func (n *Node) Text(otherwise string) string {
	if !n.is(yaml.ScalarNode, "a string") {
		return otherwise
	}
	return n.value().Value
}

// Int is a whole number, decimal or hexadecimal (0x83).
func (n *Node) Int(otherwise int) int {
	if !n.Exists() {
		return otherwise
	}
	var i int
	if v := n.value(); v.ShortTag() != "!!int" || v.Decode(&i) != nil {
		n.wrong("an integer")
		return otherwise
	}
	return i
}

// Float is a number.
func (n *Node) Float(otherwise float64) float64 {
	if !n.Exists() {
		return otherwise
	}
	var f float64
	if v := n.value(); v.ShortTag() != "!!float" && v.ShortTag() != "!!int" || v.Decode(&f) != nil {
		n.wrong("a number")
		return otherwise
	}
	return f
}

// Bool is true or false, or the older yes, no, on, off.
func (n *Node) Bool(otherwise bool) bool {
	if !n.Exists() {
		return otherwise
	}
	v := n.value()
	if plain := v.Kind == yaml.ScalarNode && v.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && v.Line > 0; plain {
		switch strings.ToLower(v.Value) {
		case "yes", "on":
			return true
		case "no", "off":
			return false
		}
	}
	var b bool
	if v.ShortTag() != "!!bool" || v.Decode(&b) != nil {
		n.wrong("a boolean (true or false)")
		return otherwise
	}
	return b
}

// Choice is a string out of a list.
func (n *Node) Choice(otherwise string, allowed ...string) string {
	s := n.String(otherwise)
	if !n.Exists() || !n.isString() || slices.Contains(allowed, s) {
		return s
	}
	n.Fail("Invalid value '%s', allowed values are: %s", s, strings.Join(allowed, ", "))
	return otherwise
}

// Strings are the elements of a list of strings. A single string is a list of one.
func (n *Node) Strings() []string {
	if v := n.value(); n.Exists() && v.Kind == yaml.ScalarNode {
		return []string{n.String("")}
	}
	var all []string
	for _, item := range n.Items() {
		all = append(all, item.Must().String(""))
	}
	return all
}
