package kascade

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"
)

func TestManifest(t *testing.T) {
	for _, c := range []struct{ size, chunk, chunks int }{
		{0, 1024, 0}, {1, 1024, 1}, {1024, 1024, 1}, {1025, 1024, 2}, {100_000, 4096, 25},
	} {
		b := randomSource(1, c.size).bytes()
		m, err := NewManifest(iotest.OneByteReader(bytes.NewReader(b)), c.chunk)
		if err != nil {
			t.Fatal(err)
		}
		if m.Size != int64(c.size) || len(m.Chunks) != c.chunks || m.Whole != Digest(blake3.Sum256(b)) {
			t.Errorf("%d bytes by %d: size %d, %d chunks, whole %x", c.size, c.chunk, m.Size, len(m.Chunks), m.Whole)
		}
		for i, d := range m.Chunks {
			if want := blake3.Sum256(b[i*c.chunk : min((i+1)*c.chunk, c.size)]); d != want {
				t.Errorf("%d bytes by %d: chunk %d is %x, want %x", c.size, c.chunk, i, d, want)
			}
		}
		got, err := DecodeManifest(m.Encode())
		if diff := cmp.Diff(m, got); err != nil || diff != "" {
			t.Errorf("decoded again: %v (-want +got):\n%s", err, diff)
		}
	}
}

// TestManifestVector: the digest of nothing is the one that every BLAKE3 gives.
func TestManifestVector(t *testing.T) {
	m, err := NewManifest(strings.NewReader(""), 1024)
	if err != nil {
		t.Fatal(err)
	}
	want := "4b534d46" + "0001" + "0000" + "00000400" + "0000000000000000" + "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
	if got := hex.EncodeToString(m.Encode()); got != want {
		t.Errorf("Encode = %s, want %s", got, want)
	}
}

func TestManifestRefuses(t *testing.T) {
	for _, size := range []int{-1, 1, 1023, MaxChunkSize + 1} {
		if _, err := NewManifest(strings.NewReader("x"), size); err == nil {
			t.Errorf("chunk size %d was accepted", size)
		}
	}
	broken := errors.New("input/output error")
	if _, err := NewManifest(iotest.ErrReader(broken), 0); !errors.Is(err, broken) {
		t.Errorf("read error: %v, want %v", err, broken)
	}
	m, err := NewManifest(strings.NewReader(strings.Repeat("x", 3000)), 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := m.Encode()
	for i, harm := range []func(b []byte) []byte{
		func([]byte) []byte { return nil },
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return append(b, 0) },
		func(b []byte) []byte { b[0] = 'X'; return b },
		func(b []byte) []byte { b[5] = 2; return b },
		func(b []byte) []byte { b[12] = 0x80; return b },                          // negative size
		func(b []byte) []byte { b[13] = 0x7F; return b },                          // more chunks than the limit
		func(b []byte) []byte { b[8], b[9], b[10], b[11] = 0, 0, 0, 0; return b }, // no chunk size
	} {
		if m, err := DecodeManifest(harm(bytes.Clone(good))); err == nil {
			t.Errorf("harm %d: decoded as %+v", i, m)
		}
	}
}

func FuzzDecodeManifest(f *testing.F) {
	m, _ := NewManifest(strings.NewReader(strings.Repeat("x", 3000)), 1024)
	f.Add(m.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeManifest(b)
		if err != nil {
			return
		}
		again, err := DecodeManifest(m.Encode())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Fatalf("decoded again: %v, %v; want %v", again, err, m)
		}
	})
}
