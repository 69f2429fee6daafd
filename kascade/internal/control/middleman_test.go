package control

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
)

// relay stands between a node and the head with TLS of its own on both sides, and passes
// on what each says.
func relay(a *Acceptor, node net.Conn, head string) {
	down := tls.Server(node, a.config)
	defer down.Close()
	up, err := tls.Dial("tcp", head, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer up.Close()
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(up, down); up.Close() })
	wg.Go(func() { io.Copy(down, up); down.Close() })
	wg.Wait()
}
