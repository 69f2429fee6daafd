package customops

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// Known tells which names of steps there are.
type Known struct {
	Macro func(name string) bool // a macro-step or an instance
	Micro func(name string) bool
}

// Error is a mistake in what was given. Path is where: keys and indexes, joined by slashes.
type Error struct {
	Path   string
	Reason string
}

func (e *Error) Error() string { return e.Path + ": " + e.Reason }

// Limits of what a request may carry.
const (
	maxOps     = 256
	maxName    = 64
	maxRetries = 1000
	maxTimeout = 365 * 24 * 3600 // seconds
)

// Parse reads the map of a request: macro-step, micro-step, position, operations.
// Values are what a JSON or a YAML decoder gives. Errors are *Error.
func Parse(v any, known Known) (Set, error) {
	p := &parser{known: known}
	macros := p.object("custom_operations", v)
	set := make(Set)
	for _, name := range sorted(macros) {
		if !known.Macro(name) {
			p.fail(name, "there is no such macro-step")
			continue
		}
		micros := p.object(name, macros[name])
		set[name] = make(map[string]Steps)
		for _, micro := range sorted(micros) {
			at := name + "/" + micro
			if !known.Micro(micro) {
				p.fail(at, "there is no such micro-step")
				continue
			}
			set[name][micro] = p.steps(at, micros[micro])
		}
	}
	if p.err == nil && p.count > maxOps {
		p.fail("custom_operations", "there are %d operations, and may be %d", p.count, maxOps)
	}
	if p.err != nil {
		return nil, p.err
	}
	return set, nil
}

// parser notes the first mistake that it meets.
type parser struct {
	known Known
	count int
	err   error
}

func (p *parser) fail(path, format string, args ...any) {
	if p.err == nil {
		p.err = &Error{path, fmt.Sprintf(format, args...)}
	}
}

func (p *parser) object(path string, v any) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		p.fail(path, "it must be a map")
	}
	return m
}

func (p *parser) steps(path string, v any) (s Steps) {
	m := p.object(path, v)
	for _, key := range sorted(m) {
		at := path + "/" + key
		switch key {
		case "override":
			s.Override = p.flag(at, m[key])
		case "pre-ops":
			s.Pre = p.list(at, m[key])
		case "substitute":
			s.Substitute = p.list(at, m[key])
		case "post-ops":
			s.Post = p.list(at, m[key])
		default:
			p.fail(at, "it is none of override, pre-ops, substitute and post-ops")
		}
	}
	return s
}

func (p *parser) flag(path string, v any) bool {
	b, ok := v.(bool)
	if !ok && v != nil {
		p.fail(path, "it must be true or false")
	}
	return b
}

func (p *parser) list(path string, v any) []Op {
	if v == nil {
		return nil
	}
	items, ok := v.([]any)
	if !ok {
		p.fail(path, "it must be a list of operations")
	}
	var ops []Op
	for i, item := range items {
		if p.err != nil {
			return nil
		}
		p.count++
		ops = append(ops, p.op(path+"/"+strconv.Itoa(i), i, p.object(path+"/"+strconv.Itoa(i), item)))
	}
	return ops
}

func (p *parser) op(at string, index int, m map[string]any) Op {
	o := Op{
		Name:       p.text(at, m, "name"),
		Action:     p.text(at, m, "action"),
		File:       strings.TrimSpace(p.text(at, m, "file")),
		Command:    p.text(at, m, "command"),
		Params:     p.text(at, m, "params"),
		Scattering: p.text(at, m, "scattering"),
		Timeout:    time.Duration(p.number(at, m, "timeout", maxTimeout)) * time.Second,
		Retries:    p.number(at, m, "retries", maxRetries),

		Destination: strings.TrimSpace(p.text(at, m, "destination")),
	}
	if p.err == nil {
		if err := o.Complete(index); err != nil {
			p.fail(at+"/"+err.Path, "%s", err.Reason)
		}
	}
	return o
}

// Complete checks one operation, the index-th of a list, and gives it a name if
// it has none. The Path of the error is that of a field.
func (o *Op) Complete(index int) *Error {
	if o.Name == "" {
		o.Name = o.Action + strconv.Itoa(index+1)
	}
	missing := func(field string) *Error {
		return &Error{field, "it is mandatory for the action " + o.Action}
	}
	switch {
	case len(o.Name) > maxName || strings.ContainsFunc(o.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &Error{"name", fmt.Sprintf("it must be one line of at most %d bytes", maxName)}
	case o.Action != Send && o.Action != Exec && o.Action != Run:
		return &Error{"action", fmt.Sprintf("%q is none of send, exec and run", o.Action)}
	case o.Action == Exec && strings.TrimSpace(o.Command) == "":
		return missing("command")
	case o.Action != Exec && o.File == "":
		return missing("file")
	case o.Action != Exec && o.Base() == "":
		return &Error{"file", fmt.Sprintf("%q names no file", o.File)}
	case o.Action == Send && o.Destination == "":
		return missing("destination")
	case o.Scattering != "" && o.Scattering != "tree" && o.Scattering != "chain":
		return &Error{"scattering", fmt.Sprintf("%q is none of tree and chain", o.Scattering)}
	}
	for field, text := range map[string]string{"destination": o.Destination, "command": o.Command, "params": o.Params, "file": o.File} {
		if strings.ContainsRune(text, 0) {
			return &Error{field, "it has a NUL byte"}
		}
	}
	return nil
}

// Base is the name that the file has on the node.
func (o *Op) Base() string {
	name := o.File
	if _, rest, remote := strings.Cut(name, "://"); remote {
		name = rest
		if strings.HasPrefix(o.File, "http") {
			name, _, _ = strings.Cut(name, "?")
			name, _, _ = strings.Cut(name, "#")
			if !strings.Contains(name, "/") {
				return "" // a host
			}
		}
	}
	switch base := path.Base(name); {
	case base == "." || base == "/" || base == "..", strings.HasSuffix(name, "/"):
		return ""
	default:
		return base
	}
}

// text is a string; decoders give numbers for what looks like one.
func (p *parser) text(at string, m map[string]any, key string) string {
	switch v := m[key].(type) {
	case nil:
		return ""
	case string:
		return v
	case fmt.Stringer: // json.Number
		return v.String()
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	p.fail(at+"/"+key, "it must be a string")
	return ""
}

func (p *parser) number(at string, m map[string]any, key string, most int) int {
	v := m[key]
	if v == nil {
		return 0
	}
	n, err := 0, error(nil)
	switch v := v.(type) {
	case int:
		n = v
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<31 {
			err = strconv.ErrRange
		} else {
			n = int(v)
		}
	default:
		n, err = strconv.Atoi(p.text(at, m, key))
	}
	if err != nil || n < 0 || n > most {
		p.fail(at+"/"+key, "it must be a whole number from 0 to %d", most)
		return 0
	}
	return n
}
