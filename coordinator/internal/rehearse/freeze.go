package rehearse

import (
	"net"
	"sync"
)

// freezer is a connection whose machine may hang: then it stays open, takes what comes
// without reading it, and sends nothing. What the machine's own side closes then is
// closed for the coordinator only when the machine is reset.
type freezer struct {
	net.Conn
	hung <-chan struct{} // closed when the machine hangs
	gone <-chan struct{} // closed when it is reset

	once   sync.Once
	closed chan struct{}
}

func newFreezer(c net.Conn, hung, gone <-chan struct{}) *freezer {
	return &freezer{Conn: c, hung: hung, gone: gone, closed: make(chan struct{})}
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
	if !f.frozen() {
		return n, err
	}
	select {
	case <-f.gone:
	case <-f.closed:
	}
	return 0, net.ErrClosed
}

func (f *freezer) Write(p []byte) (int, error) {
	if f.frozen() {
		return len(p), nil
	}
	return f.Conn.Write(p)
}

func (f *freezer) Close() error {
	if !f.frozen() {
		return f.Conn.Close()
	}
	f.once.Do(func() {
		close(f.closed)
		go func() { <-f.gone; f.Conn.Close() }()
	})
	return nil
}
