package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/control"
)

// gatherWithin is how long nodes may take to come.
const gatherWithin = 20 * time.Second

// gather takes the control links of n nodes.
func gather(ctx context.Context, ln net.Listener, n int, ready *watch) ([]kascade.Peer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, gatherWithin, fmt.Errorf("not all nodes came within %v", gatherWithin))
	defer cancel()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	acceptor, err := control.NewAcceptor(nil)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var peers []kascade.Peer
	var errs []error
	for range n {
		conn, err := ln.Accept()
		if err != nil {
			errs = append(errs, err, context.Cause(ctx))
			break
		}
		wg.Go(func() {
			link, name, err := acceptor.Accept(ctx, conn)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			peers = append(peers, kascade.Peer{Name: name, Host: host, Control: &watched{Conn: link, watch: ready}})
		})
	}
	wg.Wait()
	return peers, errors.Join(errs...)
}

// watch notes when the last of the nodes sent its first message, which is READY.
type watch struct{ last atomic.Int64 }

// watched is a control link under watch.
type watched struct {
	net.Conn
	watch *watch
	heard bool // belongs to the engine's goroutine that reads
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 && !w.heard {
		w.heard = true
		w.watch.last.Store(time.Now().UnixNano())
	}
	return n, err
}
