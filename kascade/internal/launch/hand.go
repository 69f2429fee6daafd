package launch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/control"
)

// ByHand waits for nodes that were started by hand and dial the head.
type ByHand struct {
	Listener net.Listener // closed by Launch
	Key      []byte       // that head and nodes share; empty: anyone may join
	Within   time.Duration
	Log      *slog.Logger
	Progress func(up, failed int) // as in SSH
}

// Launch takes the control links of the nodes that come.
func (l *ByHand) Launch(outer context.Context, nodes []Node) ([]kascade.Peer, map[string]error) {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	late := time.AfterFunc(l.Within, func() { cancel(fmt.Errorf("did not join within %v", l.Within)) })
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { l.Listener.Close() })()
	d := &door{wanted: map[string]Node{}, progress: l.Progress, all: func() { cancel(errOver) }}
	for _, n := range nodes {
		d.wanted[n.Name] = n
	}
	failed := map[string]error{}
	acceptor, err := control.NewAcceptor(l.Key)
	if err != nil {
		cancel(err)
	} else {
		l.accept(ctx, acceptor, d)
	}
	for name := range d.wanted {
		failed[name] = context.Cause(ctx)
	}
	if outer.Err() != nil {
		for _, a := range d.arrivals {
			a.held.drop()
			failed[a.node.Name] = context.Cause(outer)
		}
		return nil, failed
	}
	return begin(d.arrivals, failed), failed
}

func (l *ByHand) accept(ctx context.Context, acceptor *control.Acceptor, d *door) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.Log.Warn("accept", "error", err)
			select { // no descriptor is free, perhaps
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		wg.Go(func() {
			link, name, err := acceptor.Accept(ctx, conn)
			if err == nil {
				err = d.enter(ctx, link, name)
			}
			if err != nil {
				l.Log.Warn("refused", "error", err)
			}
		})
	}
}

// Close has nothing to wait for.
func (l *ByHand) Close() error { return nil }

// door lets in each node of a list once.
type door struct {
	progress func(up, failed int) // may be nil
	all      func()               // called when nobody is missing

	mu       sync.Mutex
	wanted   map[string]Node // that are missing
	arrivals []arrival
}

// enter takes a node in, or closes its link.
func (d *door) enter(ctx context.Context, link net.Conn, name string) error {
	host, _, _ := net.SplitHostPort(link.RemoteAddr().String())
	stop := context.AfterFunc(ctx, func() { link.Close() })
	link.SetReadDeadline(time.Now().Add(control.ProveWithin))
	_, err := readHello(byteReader{link})
	link.SetReadDeadline(time.Time{})
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		link.Close()
		return fmt.Errorf("node %q at %s: %w", name, host, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	node, missing := d.wanted[name]
	if !missing {
		link.Close()
		return fmt.Errorf("node %q at %s is not in the list of nodes, or there already", name, host)
	}
	delete(d.wanted, name)
	d.arrivals = append(d.arrivals, arrival{node: node, host: host, held: hold(link)})
	if d.progress != nil {
		d.progress(len(d.arrivals), 0)
	}
	if len(d.wanted) == 0 {
		d.all()
	}
	return nil
}
