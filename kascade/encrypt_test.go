package kascade

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kadeploy/kascade/internal/session"
	"kadeploy/kascade/internal/wire"
)

// TestEncrypt captures what goes between two nodes: with Encrypt no part of the source
// is to be seen in it, without it is.
func TestEncrypt(t *testing.T) {
	for _, encrypt := range []bool{true, false} {
		t.Run(fmt.Sprint(encrypt), func(t *testing.T) {
			r := newRig(t, 3, 2<<20+5, 64<<10)
			r.head.Encrypt = encrypt
			var mu sync.Mutex
			var captured bytes.Buffer
			r.wrap["node-1"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
				return &proxied{ReadWriteCloser: c, t: t, fault: func(_ int, _ int64, b []byte) (int, bool) {
					mu.Lock()
					defer mu.Unlock()
					captured.Write(b)
					return len(b), false
				}}
			}
			res, err := r.run(within(t, patience*20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res)
			mu.Lock()
			defer mu.Unlock()
			if captured.Len() < 2<<20 {
				t.Fatalf("captured only %d bytes", captured.Len())
			}
			seen := 0
			for at := 100; at+32 < 2<<20; at += 50_000 {
				if bytes.Contains(captured.Bytes(), r.src.bytes()[at:at+32]) {
					seen++
				}
			}
			if encrypt && (seen > 0 || bytes.Contains(captured.Bytes(), []byte("KSC1"))) {
				t.Errorf("%d parts of the source stand on the link as they are", seen)
			} else if !encrypt && seen < 40 {
				t.Errorf("found only %d parts of the source without encryption: this test looks wrong", seen)
			}
		})
	}
}

// TestEncryptStream: the end of a stream, in the midst of a chunk or not, ends its connections.
func TestEncryptStream(t *testing.T) {
	for _, size := range []int{0, 1 << 20, 1<<20 + 7} {
		r := newRig(t, 3, size, 64<<10).streamed(whole)
		r.head.Encrypt = true
		res, err := r.run(within(t, patience*20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		r.check(res)
	}
}

// TestEncryptDeaths: the chain heals over TLS as it does without.
func TestEncryptDeaths(t *testing.T) {
	r := newRig(t, 6, 6<<20, 64<<10)
	r.head.Encrypt, r.head.Window = true, 1<<20
	r.crashAt("node-1", 1<<20)
	r.crashAt("node-4", 3<<20)
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-1", "node-4")
}

// TestEncryptStrangers: without the key, or through somebody in the middle who has TLS of
// his own with both sides, nobody gets in.
func TestEncryptStrangers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	key := bytes.Repeat([]byte{7}, wire.KeySize)
	var opened atomic.Int32
	port, err := listen(ctx, "127.0.0.1:0", key, true, slog.New(slog.DiscardHandler), func(wire.Request) (wire.Answer, pieces) {
		opened.Add(1)
		return wire.Answer{Status: wire.OK}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { port.run(ctx) })
	defer wg.Wait()
	defer cancel()
	address := port.ln.Addr().String()
	try := func(address string, key []byte, encrypted bool) error {
		conn, _, err := dial(ctx, address, key, encrypted, wire.Request{Kind: wire.Follow, Gen: 1, To: 9})
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := try(address, bytes.Repeat([]byte{8}, wire.KeySize), true); err == nil {
		t.Error("the wrong key opens the port")
	}
	if err := try(address, key, false); err == nil {
		t.Error("the port takes a connection without TLS")
	}
	if err := try(middleman(t, address), key, true); err == nil {
		t.Error("a man in the middle is trusted")
	}
	if n := opened.Load(); n != 0 {
		t.Errorf("the port was opened %d times for strangers", n)
	}
	if err := try(address, key, true); err != nil || opened.Load() != 1 {
		t.Errorf("with the key: %v, opened %d times", err, opened.Load())
	}
}

// middleman passes on, in plain, what each side of one connection says to the other.
func middleman(t *testing.T, to string) string {
	config, err := session.Server()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		down := tls.Server(conn, config)
		defer down.Close()
		up, err := tls.Dial("tcp", to, session.Client())
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		wg.Go(func() { io.Copy(up, down); up.Close() })
		io.Copy(down, up)
	})
	return ln.Addr().String()
}
