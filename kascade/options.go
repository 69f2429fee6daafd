package kascade

import (
	"io"
	"log/slog"
	"time"
)

// Defaults of the options.
const (
	DefaultWindow      = 32 << 20
	DefaultDeadAfter   = 2500 * time.Millisecond
	DefaultStartWithin = 10 * time.Second
	DefaultReport      = 250 * time.Millisecond
)

// Peer is one node of a chain and the authenticated link to it.
type Peer struct {
	Name string // unique; the chain's order is the natural order of names unless HeadOptions.Order says otherwise
	Host string // address or name at which the other nodes reach it, without port
	// Control is the link to Join on that node. Broadcast closes it when the node's
	// part is over. Close must make a blocked Read or Write return.
	Control io.ReadWriteCloser
}

// HeadOptions are the head's choices; the zero value is good.
type HeadOptions struct {
	Logger   *slog.Logger   // nil: no log
	Progress func(Progress) // called from one goroutine; must not block
	Report   time.Duration  // time between two calls of Progress; 0: DefaultReport
	Order    []string       // names in the chain's order; those that are missing follow in natural order
	// Listen is the address of the head's data port, Host the address at which nodes
	// reach it. Empty: any free port of all addresses, and for each node the local
	// address from which it is reached.
	Listen, Host string
	Window       int64 // bytes that each relay may hold, what it keeps for replay included; 0: DefaultWindow. A node takes at most an eighth of its free memory, and at least 4 chunks
	// DeadAfter is the silence on a control link after which a node is dead. Two fifths
	// of it are enough if its neighbour in the chain makes no progress either.
	DeadAfter time.Duration // 0: DefaultDeadAfter; in chains of more than 500 nodes at least 5 ms for each
	// StartWithin is how long a node may take to get ready; 0: DefaultStartWithin. The
	// chain does not wait so long: it starts without the late ones, and they follow.
	StartWithin time.Duration
	// ChunkSize is that of a manifest that Broadcast makes itself; 0: DefaultChunkSize.
	ChunkSize int
	// Encrypt puts TLS 1.3 on the data connections. Without it the bytes are proved, but
	// anyone on the way can read them.
	Encrypt bool
	Slow    Slow // what is done about a node that holds up the chain
	// Chains is how many chains start at the head; 0 or 1: one. The order is cut into that
	// many runs of about equal length.
	Chains int
	// Compress says whether chunks are compressed with lz4 on their way. The zero value
	// does so where the source is not compressed already and it pays.
	Compress Compression
	// NoVerify makes the nodes believe what arrives: no digests, no CRC; damage by a link,
	// a memory or a disk is NOT found. It is for benchmarks and for links that are trusted.
	NoVerify bool
}

// Compression is a choice of HeadOptions.
type Compression uint8

// Choices of Compression.
const (
	CompressAuto Compression = iota // where it pays
	CompressOff
	CompressOn // every chunk that shrinks
)

// NodeOptions are a node's choices; the zero value is good.
type NodeOptions struct {
	Logger *slog.Logger // nil: no log
	Listen string       // address of the node's data port; empty: any free port of all addresses
	Window int64        // bytes that the relay may hold at most, but at least 4 chunks; 0: what the head says
	// Held is what the sink holds already, of an earlier broadcast that was interrupted.
	// The head compares it with its source: the sink gets what follows the part that is
	// right. See Resumer and Verified.
	Held Held
}

// State is what a node is doing, as the head knows it.
type State string

// States of a node.
const (
	Waiting   State = "waiting"   // has not answered yet
	Receiving State = "receiving" // gets and relays the stream
	Finishing State = "finishing" // has every byte; verifies, consumes, commits
	Relaying  State = "relaying"  // its sink failed; it goes on relaying for others
	Done      State = "done"      // consumed, verified, committed
	Failed    State = "failed"
)

// Progress is the picture of the whole chain at one moment.
type Progress struct {
	Elapsed time.Duration
	Size    int64          // bytes of the source; UnknownSize until a Stream has ended
	Sent    int64          // payload bytes that the head wrote on data connections
	Nodes   []NodeProgress // in the chain's order
	// Rate is the bytes per second that the nodes of the chains consume, each, over about
	// the last second; side branches do not count.
	Rate float64
	// Left is the time that the rest will take at this rate, side branches included; less
	// than 0 if that is not known.
	Left time.Duration
	// Slowest is the node that the chains wait for now, and Why the cause, as in
	// NodeProgress.Slow. Both are empty if no node holds them up: the head's source or the
	// line is the limit.
	Slowest, Why string
}

// NodeProgress is one node's part of a Progress.
type NodeProgress struct {
	Name     string
	State    State
	Previous string  // who feeds it; empty: the head
	Received int64   // bytes that arrived in order
	Consumed int64   // bytes that were verified and written to the sink
	Rate     float64 // bytes per second received, over about the last second
	Full     bool    // it does not read, as its window is full: its sink or its successor holds it up
	Err      error   // why it failed
	Slow     string  // why it holds, or held, the chain up: "its disk or command", "its link from node-3", "its CPU"
	Side     bool    // it reads from the head at its own pace, beside the chain
	Chain    int     // number of the chain that it belongs to, from 0
}

// Result is how a broadcast ended.
type Result struct {
	// Nodes has each peer's name; nil means consumed, verified and committed.
	Nodes     map[string]error
	Order     []string      // the chain's order
	Sent      int64         // payload bytes that the head wrote on data connections
	Refetched int64         // of these, bytes of chunks that arrived damaged
	Elapsed   time.Duration // until the last node was done or failed
	// Manifest is that of the source: the caller's, or what was made while the bytes
	// flowed. It is nil if the source was not read to its end.
	Manifest *Manifest
	Slow     []SlowNode // nodes that held up their chain, in the chain's order
}

// Failed counts the nodes that did not succeed.
func (r *Result) Failed() int {
	n := 0
	for _, err := range r.Nodes {
		if err != nil {
			n++
		}
	}
	return n
}
