// Package launch brings up the nodes of a chain and gives the head a control link to each:
// over the user's own ssh, or by waiting for nodes that were started by hand. SPEC,
// section 9, says what the two sides say to each other before the chain's own messages.
// It knows nothing of sources, sinks and orders: what a node is to do is an opaque text.
package launch

import (
	"context"
	"errors"
	"fmt"

	"kadeploy/kascade"
)

// Node is one node to bring up.
type Node struct {
	Name  string // the host, as the user wrote it
	Order []byte // handed to it before its part begins, at most MaxOrder bytes
}

// Launcher is a way to bring up nodes.
type Launcher interface {
	// Launch returns when each node is up or has failed, the latter with its reason. All
	// that are up have got their orders by then. When ctx ends, those that are not up
	// have failed with its cause.
	Launch(ctx context.Context, nodes []Node) (up []kascade.Peer, failed map[string]error)
	// Close waits, for a bounded time, until nothing that Launch made is left. The links
	// have been closed before.
	Close() error
}

// arrival is a node that is up and waits for its order.
type arrival struct {
	node Node
	host string // where other nodes reach it
	held *held
}

// begin gives all arrivals their orders.
func begin(arrivals []arrival, failed map[string]error) []kascade.Peer {
	var up []kascade.Peer
	for _, a := range arrivals {
		if err := a.held.begin(a.node.Order); err != nil {
			a.held.link.Close()
			failed[a.node.Name] = fmt.Errorf("lost while it waited for the others: %w", err)
			continue
		}
		up = append(up, kascade.Peer{Name: a.node.Name, Host: a.host, Control: a.held.link})
	}
	return up
}

// errOver is why a launch ends whose nodes are all decided.
var errOver = errors.New("the launch is over")
