package initsys

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// beaconAddress is the port that only the mini-OS answers on; everybody tells it from a deployed system by that (contract, section 9).
const beaconAddress = ":25300"

// listenBeacon opens the port. From then on the node counts as ready.
func listenBeacon(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", beaconAddress)
	if err != nil {
		return nil, fmt.Errorf("open the port of the mini-OS: %w", err)
	}
	return listener, nil
}

// serveBeacon accepts connections and closes them, until ctx ends.
func (s *system) serveBeacon(ctx context.Context, listener net.Listener) {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			conn.Close()
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.logger.Warn("cannot accept on port 25300", "cause", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	}
}
