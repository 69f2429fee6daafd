package chain

import "fmt"

// Command is something that the head must do now.
type Command interface{ fmt.Stringer }

// Attach: tell Node to read from Previous, a node or Head.
type Attach struct {
	Node, Previous int
	Gen            uint32
}

// Expect: tell Node to keep the bytes from From on for Reader, which was just attached to it.
type Expect struct {
	Node, Reader int
	Gen          uint32
	From         int64
}

// Drop: tell Node (or do it, for Head) to forget Reader.
type Drop struct{ Node, Reader int }

// Release: tell Node that its part is over, well or with its sink's failure.
type Release struct{ Node int }

// Stop: tell Node that its part is over, and close its link.
type Stop struct {
	Node   int
	Reason string
}

// Pace: the head gives Node only what the chains leave, or, if not On, all it takes.
type Pace struct {
	Node int
	On   bool
}

// Slow: Node holds, or held, its chain up, for this reason; for the log.
type Slow struct {
	Node  int
	Cause string
}

func (c Attach) String() string {
	return fmt.Sprintf("attach %d to %d gen=%d", c.Node, c.Previous, c.Gen)
}
func (c Expect) String() string {
	return fmt.Sprintf("expect %d at %d gen=%d from=%d", c.Reader, c.Node, c.Gen, c.From)
}
func (c Drop) String() string    { return fmt.Sprintf("drop reader %d at %d", c.Reader, c.Node) }
func (c Release) String() string { return fmt.Sprintf("release %d", c.Node) }
func (c Stop) String() string    { return fmt.Sprintf("stop %d: %s", c.Node, c.Reason) }
func (c Slow) String() string    { return fmt.Sprintf("slow %d: %s", c.Node, c.Cause) }
func (c Pace) String() string {
	if c.On {
		return fmt.Sprintf("pace %d", c.Node)
	}
	return fmt.Sprintf("unpace %d", c.Node)
}
