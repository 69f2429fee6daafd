package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
)

// order is what a node that the launcher started is to do. It travels over ssh's standard
// input (SPEC, section 9), never on a command line.
type order struct {
	Name    string `json:"name"`
	Output  string `json:"output,omitempty"`
	Command string `json:"command,omitempty"`
	Tree    bool   `json:"tree,omitempty"` // what comes is a tar archive of a directory
	Base    string `json:"base,omitempty"` // the source's file name, for an output that is a directory
	Port    int    `json:"port,omitempty"` // of the node's data; 0: any
	Resume  bool   `json:"resume,omitempty"`
	Verbose string `json:"verbose,omitempty"`
}

// order is the order for a node, encoded.
func (o *options) order(name string, src *source) []byte {
	b, err := json.Marshal(order{
		Name: name, Output: o.output, Command: o.outputCmd, Tree: src.tree && o.outputCmd == "", Base: src.base,
		Port: o.ports[name], Resume: o.resume, Verbose: o.verbose,
	})
	if err != nil {
		panic(fmt.Sprintf("kascade: encode an order: %v", err)) // it is texts and numbers
	}
	return b
}

// byHand is the order that a node's own options give. What comes, only the head knows.
func (o *options) byHand(name string, fromHead []byte) (order, error) {
	d, err := readOrder(fromHead)
	return order{
		Name: name, Output: o.output, Command: o.outputCmd, Tree: d.Tree, Base: d.Base,
		Port: o.ports[name], Resume: o.resume, Verbose: o.verbose,
	}, err
}

// readOrder decodes an order. Its base is a name alone, so that no head puts a file
// elsewhere than into the directory that a node was given.
func readOrder(b []byte) (d order, err error) {
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("the head's order: %w", err)
	}
	if d.Base != "" && (d.Base != filepath.Base(d.Base) || d.Base == ".." || d.Base == "." || d.Base == "/") {
		return d, fmt.Errorf("the head's order: base %q is no file name", d.Base)
	}
	return d, nil
}

// listen is the address of the node's data port.
func (d order) listen() string {
	if d.Port == 0 {
		return ""
	}
	return fmt.Sprintf(":%d", d.Port)
}

// path is the output with the source's name, if it is a directory and a file comes.
func (d order) path() string { return filepath.Join(d.Output, d.Base) }
