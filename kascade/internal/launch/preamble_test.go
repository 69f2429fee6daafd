package launch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHello(t *testing.T) {
	hello := string(appendHello(nil, "10.0.0.7"))
	for _, c := range []struct{ in, host, err string }{
		{hello, "10.0.0.7", ""},
		{"Welcome!\nKSKKSCKSCL is not here\n", "", "version"},
		{"Welcome!\nKSC KKSC" + hello + "more", "10.0.0.7", ""},
		{string(appendHello(nil, "")), "", ""},
		{"KSCL\x00\x02\x00\x00", "", "version 2"},
		{"KSCL\x00\x01\x01\x00", "", "limit"},
		{"KSCL\x00\x01\x00\x09short", "", "EOF"},
		{strings.Repeat("noise", 20000), "", "no sign"},
		{"", "", "EOF"},
	} {
		host, err := readHello(strings.NewReader(c.in))
		if host != c.host || (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("readHello(%.40q) = %q, %v, want %q, %q", c.in, host, err, c.host, c.err)
		}
	}
}

// TestHold: a node waits for as long as the head says that it shall, and not longer.
func TestHold(t *testing.T) {
	for _, c := range []struct {
		name    string
		head    func(*held)
		order   string
		want    string
		elapsed time.Duration
	}{
		{"begins late", func(h *held) { time.Sleep(time.Minute); h.begin([]byte("go")) }, "go", "", time.Minute},
		{"is silent", func(h *held) { close(h.stop); <-h.err }, "", "silent", holdWithin},
		{"leaves", func(h *held) { h.drop() }, "", "left before the start", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				head, node := net.Pipe()
				defer head.Close()
				go func() {
					if host, err := readHello(byteReader{head}); host != "there" || err != nil {
						t.Errorf("hello %q, %v", host, err)
					}
					c.head(hold(head))
				}()
				start := time.Now()
				order, err := Attend(t.Context(), node, "there")
				if string(order) != c.order || (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("Attend = %q, %v, want %q, %q", order, err, c.order, c.want)
				}
				if d := time.Since(start); d != c.elapsed {
					t.Errorf("took %v, want %v", d, c.elapsed)
				}
			})
		})
	}
}

func TestAttendCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		head, node := net.Pipe()
		defer head.Close()
		go io.Copy(io.Discard, head)
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stop) })
		if _, err := Attend(ctx, node, ""); !errors.Is(err, stop) {
			t.Errorf("Attend = %v, want %v", err, stop)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(appendHello([]byte("motd\n"), "10.0.0.7"))
	f.Fuzz(func(t *testing.T, b []byte) {
		host, err := readHello(bytes.NewReader(b))
		if err == nil && !bytes.Contains(b, appendHello(nil, host)) {
			t.Errorf("readHello(%q) = %q", b, host)
		}
	})
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x00\x00\x00\x02go"))
	f.Fuzz(func(t *testing.T, b []byte) {
		order, err := readOrder(bytes.NewReader(b), func() {})
		if err == nil && !bytes.Contains(b, binary.BigEndian.AppendUint32([]byte{wordBegin}, uint32(len(order)))) {
			t.Errorf("readOrder(%q) = %q", b, order)
		}
	})
}
