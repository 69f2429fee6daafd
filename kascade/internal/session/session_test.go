package session

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
)

// TestExporter: both ends of a session know the same 32 bytes, another session has others.
func TestExporter(t *testing.T) {
	config, err := Server()
	if err != nil {
		t.Fatal(err)
	}
	var last []byte
	for range 2 {
		a, b := net.Pipe()
		theirs := make(chan []byte, 1)
		go func() {
			exporter, _ := Start(t.Context(), tls.Server(a, config))
			theirs <- exporter
		}()
		mine, err := Start(t.Context(), tls.Client(b, Client()))
		if err != nil {
			t.Fatal(err)
		}
		if len(mine) != 32 || !bytes.Equal(mine, <-theirs) || bytes.Equal(mine, last) {
			t.Errorf("keying material %x, the session before had %x", mine, last)
		}
		last = mine
		a.Close()
		b.Close()
	}
}
