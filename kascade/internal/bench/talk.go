package bench

// The benchmark talks with its processes in JSON, one object a line: it gives orders on their
// standard input, and they say what happens on their standard output. The end of the
// standard input ends a process.

// order is what a process is told.
type order struct {
	Relay *relayOrder `json:"relay,omitempty"` // first of all, to a relay
	Head  *headOrder  `json:"head,omitempty"`  // first of all, to a head
	Go    string      `json:"go,omitempty"`    // address of the head; to a relay that is up
}

// relayOrder says what a relay is.
type relayOrder struct {
	Name   string
	Listen string // address for its data port, without port
	Check  bool   // hash what the sink gets
	Rate   int64  // of its sink; 0: as fast as it comes
	Mark   int64  // tell when the sink has so many bytes
	Die    bool   // kill yourself at the mark
	Dead   bool   // say nothing once the control link is there
	Log    bool
}

// headOrder says what the head does. The source is file descriptor 3.
type headOrder struct {
	Case   Case
	Listen string
	Names  []string
	Log    bool
}

// event is what a process says.
type event struct {
	Up        bool      `json:"up,omitempty"`        // relay: waits for Go
	Joined    bool      `json:"joined,omitempty"`    // dead relay: its link is there
	Mark      bool      `json:"mark,omitempty"`      // relay: the sink has so much
	Listening string    `json:"listening,omitempty"` // head: address for control links
	Relay     *relayEnd `json:"relay,omitempty"`
	Head      *headEnd  `json:"head,omitempty"`
}

// relayEnd is how a relay's part ended. Times are Unix, nanoseconds.
type relayEnd struct {
	Error       string `json:",omitempty"`
	Bytes       int64
	Digest      string `json:",omitempty"`
	First, Last int64  // first bytes in the sink; commit
	Marked      int64  // when the sink had as many bytes as it should tell
	Memory      int64  // bytes, at its most
}

// headEnd is how the broadcast ended. Times are Unix, nanoseconds.
type headEnd struct {
	Error  string `json:",omitempty"`
	Begin  int64  // when the engine was called
	Ready  int64  // when the last node to get ready had said so
	End    int64
	Nodes  map[string]string // node → "", or why it failed
	Slow   map[string]string // node → what was slow
	Sent   int64
	Memory int64
}
