package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/tree"
	"kadeploy/kascade"
)

// Kascade is how images are sent from node to node.
type Kascade struct {
	Topology     string        // file with the chain's order; "": the natural order of names
	Order        []string      // the nodes in it
	Slow         string        // what is done about a node that holds the chain back: side, wait, drop
	SlowShare    float64       // of the rate that the others could sustain; below it a node is slow
	SlowPatience time.Duration // a node is slow for that long before anything is done
	Chains       int           // chains that start at the coordinator
	Encrypt      bool          // TLS between nodes
	Compress     string        // lz4 between nodes: auto, on, off
	Window       int64         // bytes that each node may hold for others
	DeadAfter    time.Duration // silence after which a node is cut out
}

func (l *loader) kascade(n *tree.Node) Kascade {
	slow := n.Get("slow")
	file, order := l.topology(n.Get("topology"))
	return Kascade{
		Topology:     file,
		Order:        order,
		Slow:         slow.Get("policy").Choice("side", "side", "wait", "drop"),
		SlowShare:    share(slow.Get("share"), 0.5),
		SlowPatience: time.Duration(between(slow.Get("patience"), 3, 1, 3600)) * time.Second,
		Chains:       between(n.Get("chains"), 1, 1, 1000),
		Encrypt:      n.Get("encrypt").Bool(false),
		Compress:     n.Get("compress").Choice("auto", "auto", "on", "off"),
		Window:       int64(between(n.Get("window"), 32, 4, 4096)) * mebibyte,
		// More than the engine's own choice: a node whose processor is busy extracting is not dead.
		DeadAfter: time.Duration(between(n.Get("dead_after"), 8, 1, 3600)) * time.Second,
	}
}

func (l *loader) topology(n *tree.Node) (file string, order []string) {
	if file = l.existing(n); file == "" {
		return "", nil
	}
	f, err := os.Open(file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // which existing has noted
			n.Fail("%v: let the coordinator read the file", err)
		}
		return file, nil
	}
	defer f.Close()
	if order, err = kascade.ParseTopology(f, file); err != nil {
		n.Fail("%v", err)
	}
	return file, order
}

// strangers warns of names in the topology that no cluster has: they are mostly misspelt.
func (l *loader) strangers(k *Kascade, site *cluster.Site) {
	known := make(map[string]bool)
	for _, c := range site.Clusters {
		for _, n := range c.Nodes {
			known[n.Name] = true
		}
	}
	for _, name := range k.Order {
		if !known[name] {
			l.warnings = append(l.warnings, Problem{File: k.Topology, Reason: fmt.Sprintf("The node '%s' is in no cluster: give the full name that it has in %s", name, clustersFiles[0])})
		}
	}
}

// share is a number above 0 and below 1.
func share(n *tree.Node, otherwise float64) float64 {
	f := n.Float(otherwise)
	if f <= 0 || f >= 1 {
		n.Fail("Invalid value '%g', it must be more than 0 and less than 1", f)
	}
	return f
}
