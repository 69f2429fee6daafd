package rehearse

import "net"

// freezer is a connection whose machine may hang: then it stays open, takes what comes
// without reading it, and sends nothing.
type freezer struct {
	net.Conn
	hung <-chan struct{} // closed when the machine hangs
	gone <-chan struct{} // closed when it is reset
}

func (f *freezer) frozen() bool {
	select {
	case <-f.hung:
		return true
	default:
		return false
	}
}

// Read never gives what arrived after the machine hung.
func (f *freezer) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if f.frozen() {
		<-f.gone
		return 0, net.ErrClosed
	}
	return n, err
}

func (f *freezer) Write(p []byte) (int, error) {
	if f.frozen() {
		return len(p), nil
	}
	return f.Conn.Write(p)
}

// Close of a frozen connection leaves it to the machine's end.
func (f *freezer) Close() error {
	if f.frozen() {
		go func() { <-f.gone; f.Conn.Close() }()
		return nil
	}
	return f.Conn.Close()
}
