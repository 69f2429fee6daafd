package kascade

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"kadeploy/kascade/internal/window"
)

// textSource is a source that shrinks, with a part in the middle that does not.
func textSource(size int) memory {
	b := bytes.Repeat([]byte("all work and no play makes a dull image. "), size/41+1)[:size]
	copy(b[size/3:size/2], randomSource(9, size).bytes())
	return memory{bytes.NewReader(b)}
}

// compressedRig broadcasts text, compressed.
func compressedRig(t *testing.T, nodes, size, chunk int) *rig {
	r := newRig(t, nodes, size, chunk)
	r.src = textSource(size)
	var err error
	if r.m, err = NewManifest(io.NewSectionReader(r.src, 0, r.src.Size()), chunk); err != nil {
		t.Fatal(err)
	}
	r.head.Compress = CompressOn
	return r
}

func TestCompressed(t *testing.T) {
	for _, made := range []string{"with a manifest", "made", "streamed"} {
		for _, size := range []int{1, 100, 4 << 20, 4<<20 + 77} {
			t.Run(fmt.Sprint(made, " ", size), func(t *testing.T) {
				r := compressedRig(t, 4, size, 64<<10)
				switch made {
				case "made":
					r.made()
				case "streamed":
					r.streamed(whole)
				}
				res, err := r.run(within(t, patience*20*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				r.check(res)
				if size > 1<<20 && res.Sent > int64(size)/3 {
					t.Errorf("the head sent %d bytes of %d", res.Sent, size)
				}
			})
		}
	}
}

// TestCompressedDeaths: chunks come from another previous in the midst, and out of gaps.
func TestCompressedDeaths(t *testing.T) {
	r := compressedRig(t, 6, 12<<20, 64<<10)
	r.head.Window = 256 << 10
	r.crashAt("node-1", 2<<20)
	r.crashAt("node-3", 5<<20)
	r.crashAt("node-4", 5<<20)
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-1", "node-3", "node-4")
}

// TestCompressedDamage: a chunk that cannot be decompressed, or wrongly, comes again.
func TestCompressedDamage(t *testing.T) {
	r := compressedRig(t, 3, 4<<20, 64<<10)
	r.wrap["node-1"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, fault: func(conn int, offset int64, b []byte) (int, bool) {
			if at := 72 + 12 + 30 - offset; conn == 0 && 0 <= at && at < int64(len(b)) {
				b[at] ^= 0x55
			}
			return len(b), false
		}}
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	if want := int64(2 * 64 << 10); res.Refetched != want {
		t.Errorf("Refetched = %d, want %d", res.Refetched, want)
	}
}

func TestPackerDecides(t *testing.T) {
	const chunk = 64 << 10
	text := textSource(16 * chunk)
	for _, c := range []struct {
		name   string
		mode   Compression
		start  string
		rate   float64 // bytes per second that the reader takes
		packed bool
	}{
		{"always", CompressOn, "", 1e12, true},
		{"slow link", CompressAuto, "", 1e6, true},
		{"link faster than the CPU", CompressAuto, "", 1e12, false},
		{"gzip", CompressAuto, "\x1f\x8b", 1e6, false},
	} {
		p := newPacker(c.mode)
		data := text.bytes()
		copy(data, c.start)
		k := p.pack(&chunkReader{src: memory{bytes.NewReader(data)}, m: &Manifest{Size: int64(len(data)), ChunkSize: chunk}, piece: window.Piece{Chunk: -1}}, 0, chunk)
		for i := range 3 {
			p.wait, k.since = 1/c.rate, time.Time{} // as measured, and nothing of this test's own pace
			piece, err := k.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if i == 2 && piece.Form.Packed != c.packed {
				t.Errorf("%s: packed = %v, want %v", c.name, piece.Form.Packed, c.packed)
			}
			plain, err := unpack(piece.Data, piece.Form, make([]byte, chunk))
			if err != nil || !bytes.Equal(plain, data[i*chunk:][:chunk]) {
				t.Errorf("%s: chunk %d is not what it was: %v", c.name, i, err)
			}
			k.Advance(len(piece.Data))
		}
	}
	if newPacker(CompressOff) != nil {
		t.Error("CompressOff compresses")
	}
}

// TestPackerBursts: a socket that takes three chunks at once, and then one slowly, is as slow
// as all four together.
func TestPackerBursts(t *testing.T) {
	p := newPacker(CompressAuto)
	p.learn(1<<20, 1<<19, 2*time.Millisecond)
	for i := range 16 {
		took := time.Microsecond
		if i%4 == 0 {
			took = 100 * time.Millisecond
		}
		p.sent(1<<20, took)
	}
	if !p.pays() {
		t.Errorf("it does not pay to save %.1f ms for each chunk that costs 2 ms", p.wait*(1<<19)*1000)
	}
}

// FuzzUnpack: no payload makes the decoder panic or write beyond the chunk.
func FuzzUnpack(f *testing.F) {
	k := newPacker(CompressOn).pack(nil, 0, 1<<10)
	for _, s := range []string{"x", strings.Repeat("ab", 500), "\x1f\xff\xff\xff"} {
		f.Add(k.packed(window.Piece{Data: []byte(s), Form: window.Form{Length: len(s)}}).Data)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		room := bytes.Repeat([]byte{0xA5}, 1<<10+64)
		b, err := unpack(payload, window.Form{Length: len(payload), Packed: true}, room[:1<<10:1<<10])
		if err == nil && len(b) != 1<<10 {
			t.Fatalf("%d bytes", len(b))
		}
		for _, c := range room[1<<10:] {
			if c != 0xA5 {
				t.Fatal("wrote beyond the chunk")
			}
		}
	})
}

func TestCompressedStarts(t *testing.T) {
	for start, want := range map[string]bool{
		"\x1f\x8b\x08": true, "\x28\xb5\x2f\xfd": true, "BZh9": true, "\x04\x22\x4d\x18": true,
		"\x5b\x2a\x4d\x18 an index": true, "\x60\x2a\x4d\x18": false, "\x5b\x2a": false, "usr/bin/": false, "": false,
	} {
		if got := compressed([]byte(start)); got != want {
			t.Errorf("compressed(%q) = %v, want %v", start, got, want)
		}
	}
}
