package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// accept serves one connection, and returns the address and a channel of what came of it.
func accept(t *testing.T, key string) (address string, result chan error, name *string) {
	t.Helper()
	a, err := NewAcceptor([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	result, name = make(chan error, 1), new(string)
	go func() {
		defer ln.Close()
		conn, err := ln.Accept()
		if err != nil {
			result <- err
			return
		}
		link, n, err := a.Accept(context.Background(), conn)
		if err == nil {
			*name = n
			_, err = io.Copy(link, link)
			link.Close()
		}
		result <- err
	}()
	return ln.Addr().String(), result, name
}

func TestLink(t *testing.T) {
	for _, key := range []string{"secret", ""} {
		address, result, name := accept(t, key)
		link, err := Dial(t.Context(), address, []byte(key), "node-1.site")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(link, "echo")
		b := make([]byte, 4)
		if _, err := io.ReadFull(link, b); err != nil || string(b) != "echo" {
			t.Errorf("read %q, %v", b, err)
		}
		link.Close()
		if err := <-result; err != nil || *name != "node-1.site" {
			t.Errorf("Accept: name %q, %v", *name, err)
		}
	}
}

func TestWrongKey(t *testing.T) {
	for _, c := range []struct{ head, node string }{{"secret", "other"}, {"secret", ""}, {"", "secret"}} {
		address, result, _ := accept(t, c.head)
		if _, err := Dial(t.Context(), address, []byte(c.node), "n"); !errors.Is(err, ErrNotProved) {
			t.Errorf("head %q, node %q: Dial = %v, want ErrNotProved", c.head, c.node, err)
		}
		if err := <-result; !errors.Is(err, ErrNotProved) {
			t.Errorf("head %q, node %q: Accept = %v, want ErrNotProved", c.head, c.node, err)
		}
	}
}

// TestMiddleman: who relays between two honest sides, with TLS of his own, is found out.
func TestMiddleman(t *testing.T) {
	address, result, _ := accept(t, "secret")
	a, err := NewAcceptor(nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		relay(a, conn, address)
	}()
	if _, err := Dial(t.Context(), ln.Addr().String(), []byte("secret"), "n"); err == nil {
		t.Error("Dial trusts the man in the middle")
	}
	if err := <-result; !errors.Is(err, ErrNotProved) {
		t.Errorf("Accept = %v, want ErrNotProved", err)
	}
	<-relayed
}

func TestRubbish(t *testing.T) {
	for _, in := range [][]byte{nil, []byte("GET / HTTP/1.1\r\n\r\n"), bytes.Repeat([]byte{0xFF}, 1000)} {
		address, result, _ := accept(t, "secret")
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(in)
		conn.(*net.TCPConn).CloseWrite()
		if err := <-result; err == nil {
			t.Errorf("%q was accepted", in)
		}
		conn.Close()
	}
}

func TestNames(t *testing.T) {
	if _, err := Dial(t.Context(), "127.0.0.1:1", nil, strings.Repeat("n", 256)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("long name: %v", err)
	}
}

// FuzzReadNode: no bytes get through without the key.
func FuzzReadNode(f *testing.F) {
	f.Add([]byte("KSCT\x00\x01\x00\x04node0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if name, err := readNode(bytes.NewReader(b), []byte("key"), make([]byte, 32)); err == nil {
			t.Fatalf("accepted %q", name)
		}
	})
}
