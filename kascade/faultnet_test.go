package kascade

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"kadeploy/kascade/internal/wire"
)

// fault is what a proxy does to the bytes that a node sends to one reader. It is told
// the number of the connection, from 0, and the offset of b in it; it may change b. It
// returns how many bytes go through; with fewer than all the connection ends, or stalls.
type fault func(conn int, offset int64, b []byte) (pass int, stall bool)

// proxied puts a proxy before the node's data port: it changes the port in READY.
type proxied struct {
	io.ReadWriteCloser
	t     *testing.T
	fault fault
	port  func(uint16) // told the node's real port
	stop  func()
}

func (p *proxied) Write(b []byte) (int, error) {
	if wire.Type(b[4]) == wire.TypeReady { // the link writes one message at a time
		port := binary.BigEndian.Uint16(b[7:])
		if p.port != nil {
			p.port(port)
		}
		if p.fault != nil {
			proxy, stop := startProxy(p.t, port, p.fault)
			p.stop = stop
			binary.BigEndian.PutUint16(b[7:], proxy)
		}
	}
	return p.ReadWriteCloser.Write(b)
}

func (p *proxied) Close() error {
	if p.stop != nil {
		p.stop()
	}
	return p.ReadWriteCloser.Close()
}

// startProxy forwards connections to a port of this host, with faults on the way back.
func startProxy(t *testing.T, to uint16, f fault) (port uint16, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns[c] = true
	}
	wg.Go(func() {
		for i := 0; ; i++ {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			keep(down)
			up, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", to))
			if err != nil {
				down.Close()
				continue
			}
			keep(up)
			wg.Go(func() { io.Copy(up, down); up.Close() })
			wg.Go(func() {
				if !copyFaulty(down, up, func(offset int64, b []byte) (int, bool) { return f(i, offset, b) }) {
					down.Close()
					up.Close()
				}
			})
		}
	})
	return uint16(ln.Addr().(*net.TCPAddr).Port), func() {
		ln.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	}
}

// copyFaulty copies until the end or a fault; it returns true if the connection stalls.
func copyFaulty(to io.Writer, from io.Reader, f func(int64, []byte) (int, bool)) bool {
	b := make([]byte, 32<<10)
	for at := int64(0); ; {
		n, err := from.Read(b)
		pass, stall := f(at, b[:n])
		if _, werr := to.Write(b[:pass]); werr != nil || err != nil {
			return false
		}
		if pass < n {
			return stall
		}
		at += int64(n)
	}
}
