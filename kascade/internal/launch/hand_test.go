package launch

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"kadeploy/kascade/internal/control"
)

// byHand is a head, and nodes that dial it.
func byHand(t *testing.T) subject {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	good := []string{"h1", "h2", "h3"}
	var nodes sync.WaitGroup
	t.Cleanup(nodes.Wait)
	nodes.Add(1)
	return subject{
		Launcher: &ByHand{Listener: ln, Key: []byte("k"), Within: 2 * time.Second, Log: slog.New(slog.DiscardHandler)},
		good:     good, bad: "h4", why: "did not join within 2s", hangs: "h5", within: 4 * time.Second,
		started: func() {
			defer nodes.Done()
			for _, name := range append([]string{"stranger", "h1"}, good...) { // two are refused
				nodes.Go(func() {
					link, err := control.Dial(context.Background(), ln.Addr().String(), []byte("k"), name)
					if err != nil {
						return
					}
					defer link.Close()
					order, err := Attend(context.Background(), link, "")
					if err == nil {
						link.Write(order)
						io.Copy(link, link)
					}
				})
			}
		},
	}
}

func TestByHand(t *testing.T) { conform(t, byHand) }
