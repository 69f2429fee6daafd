// Package tree reads YAML and JSON documents field by field. It remembers which
// fields were asked for, so that the rest can be reported as unused, and
// collects what is wrong with its path and its line, so that all mistakes of a
// file are shown at once. It knows nothing of what the fields mean.
package tree

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Document is one document that is being read.
type Document struct {
	root     *Node
	problems []Problem
	extra    bool
	merges   int
}

// Problem is one thing that is wrong, or worth a warning, at one place.
type Problem struct {
	Line   int    // from 1; 0 if the document has no lines (JSON)
	Path   string // keys and list indices, joined by slashes
	Reason string
}

// Parse reads YAML text. An empty text is an empty map. Of several documents
// the first is read, and Extra tells that there are more.
func Parse(data []byte) (*Document, error) {
	dec := yaml.NewDecoder(bytes.NewReader(blank(data)))
	var top yaml.Node
	if err := dec.Decode(&top); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("invalid YAML: %w%s", err, remedy(data))
	}
	d := newDocument(&top)
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		d.extra = !empty(&next)
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("invalid YAML: %w%s", err, remedy(data))
	}
	return d, nil
}

// blank empties the lines that hold only white space: YAML allows tabs in them, its library does not.
func blank(data []byte) []byte {
	lines := bytes.Split(data, []byte("\n"))
	for i, line := range lines {
		if len(bytes.TrimSpace(line)) == 0 {
			lines[i] = nil
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// remedy names the mistake that the YAML library's message does not.
func remedy(data []byte) string {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if text := bytes.TrimLeft(line, " \t"); len(text) > 0 && bytes.IndexByte(line[:len(line)-len(text)], '\t') >= 0 {
			return fmt.Sprintf(" (line %d is indented with a tab: use spaces)", i+1)
		}
	}
	return ""
}

func empty(n *yaml.Node) bool {
	return n.Kind == yaml.DocumentNode && len(n.Content) == 1 && n.Content[0].ShortTag() == "!!null"
}

// FromMap reads a decoded JSON object. Numbers may be of any Go type that a
// decoder makes; whole ones are integers.
func FromMap(m map[string]any) *Document { return newDocument(encode(m)) }

func newDocument(top *yaml.Node) *Document {
	d := &Document{}
	if top.Kind == yaml.DocumentNode {
		top = top.Content[0]
	}
	d.root = &Node{doc: d, yaml: top}
	return d
}

func encode(v any) *yaml.Node {
	scalar := func(tag, text string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
	}
	switch v := v.(type) {
	case nil:
		return scalar("!!null", "null")
	case string:
		return scalar("!!str", v)
	case bool:
		return scalar("!!bool", strconv.FormatBool(v))
	case int, int32, int64, uint, uint32, uint64:
		return scalar("!!int", fmt.Sprint(v))
	case json.Number:
		if _, err := v.Int64(); err != nil {
			return scalar("!!float", v.String())
		}
		return scalar("!!int", v.String())
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return scalar("!!int", strconv.FormatInt(int64(v), 10))
		}
		return scalar("!!float", fmt.Sprint(v))
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range v {
			n.Content = append(n.Content, encode(item))
		}
		return n
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			n.Content = append(n.Content, scalar("!!str", key), encode(v[key]))
		}
		return n
	}
	return scalar("!unknown", fmt.Sprint(v))
}

// Root is the document's outermost value.
func (d *Document) Root() *Node { return d.root }

// Extra tells whether the text had further documents, which were not read.
func (d *Document) Extra() bool { return d.extra }

// Problems are what was found wrong so far, in the order of the text.
func (d *Document) Problems() []Problem { return sorted(d.problems) }

// Unused are the fields that nobody asked for, in the order of the text. It is
// meaningful when the reading is over.
func (d *Document) Unused() []Problem {
	var unused []Problem
	d.root.unused(&unused)
	return sorted(unused)
}

func sorted(problems []Problem) []Problem {
	problems = slices.Clone(problems)
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return problems
}
