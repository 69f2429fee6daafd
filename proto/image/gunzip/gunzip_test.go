package gunzip

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// contents are of every kind: nothing, random, runs, text, matches from far away.
func contents() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 700_000)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	var text bytes.Buffer
	for i := 0; text.Len() < 900_000; i++ {
		fmt.Fprintf(&text, "%d usr/share/doc/%x/copyright %d\n", i, rng.Uint32N(1<<12), i*i)
	}
	skewed := make([]byte, 400_000) // long codes
	for i := range skewed {
		skewed[i] = byte(min(rng.ExpFloat64()*9, 255))
	}
	far := append(bytes.Clone(random[:32768]), random[:32768]...)
	return map[string][]byte{
		"nothing": {}, "one": {7}, "random": random, "zeros": make([]byte, 1<<20), "text": text.Bytes(), "skewed": skewed,
		"far": far, "pairs": bytes.Repeat([]byte("ab"), 50_000), "sevens": bytes.Repeat([]byte("abcdefg"), 50_000),
	}
}

func compress(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Name, w.Comment, w.Extra = "name", "comment", []byte("extra")
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(src io.Reader) ([]byte, error) {
	r, err := NewReader(src)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestDecode(t *testing.T) {
	for name, data := range contents() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			z := compress(t, level, data)
			got, err := decode(bytes.NewReader(z))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, level %d: %d bytes, %v; want %d", name, level, len(got), err, len(data))
			}
			got, err = decode(iotest.OneByteReader(bytes.NewReader(z)))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, level %d, byte by byte: %d bytes, %v; want %d", name, level, len(got), err, len(data))
			}
		}
	}
}

func TestMembers(t *testing.T) {
	all := contents()
	z := append(compress(t, 9, all["text"]), compress(t, 1, all["nothing"])...)
	z = append(z, compress(t, 6, all["pairs"])...)
	got, err := decode(iotest.HalfReader(bytes.NewReader(z)))
	if want := append(bytes.Clone(all["text"]), all["pairs"]...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
}

func TestTruncated(t *testing.T) {
	z := compress(t, 6, contents()["text"][:3000])
	for n := range z {
		if _, err := decode(bytes.NewReader(z[:n])); err != io.ErrUnexpectedEOF {
			t.Fatalf("%d of %d bytes: %v, want %v", n, len(z), err, io.ErrUnexpectedEOF)
		}
	}
	bad := errors.New("bad")
	if _, err := decode(io.MultiReader(bytes.NewReader(z[:len(z)/2]), iotest.ErrReader(bad))); err != bad {
		t.Errorf("the source fails: %v, want %v", err, bad)
	}
}

func TestDamaged(t *testing.T) {
	data := contents()["text"][:20_000]
	z := compress(t, 6, data)
	for i := range z {
		d := bytes.Clone(z)
		d[i] ^= 0x10
		got, err := decode(bytes.NewReader(d))
		if err == nil && !bytes.Equal(got, data) {
			t.Fatalf("byte %d damaged: other data, and no error", i)
		}
	}
	d := bytes.Clone(z)
	d[len(d)-6] ^= 1
	if _, err := decode(bytes.NewReader(d)); err != ErrChecksum {
		t.Errorf("the checksum damaged: %v, want %v", err, ErrChecksum)
	}
	if _, err := decode(bytes.NewReader([]byte("no gzip at all"))); err != ErrHeader {
		t.Errorf("no gzip: %v, want %v", err, ErrHeader)
	}
	if _, err := decode(bytes.NewReader(append(bytes.Clone(z), "garbage, and no member"...))); err != ErrHeader {
		t.Errorf("garbage after the last member: %v, want %v", err, ErrHeader)
	}
}

// FuzzDecode compares with the standard library: the same data, or an error on both sides.
func FuzzDecode(f *testing.F) {
	for _, data := range contents() {
		for _, level := range []int{0, 1, 9} {
			f.Add(compress(f, level, data[:min(len(data), 5000)]))
		}
	}
	fixed := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3}
	f.Add(append(fixed, 0x4b, 0x4c, 0x84, 1, 0))
	f.Fuzz(func(t *testing.T, z []byte) {
		var want []byte
		r, wantErr := gzip.NewReader(bytes.NewReader(z))
		if wantErr == nil {
			want, wantErr = io.ReadAll(io.LimitReader(r, 64<<20))
		}
		got, err := decode(io.MultiReader(bytes.NewReader(z)))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, compress/gzip says %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, compress/gzip has %d, or others", len(got), len(want))
		}
	})
}

// FuzzBlocks compares the decoding of blocks, whatever the checksum would say.
func FuzzBlocks(f *testing.F) {
	for _, data := range contents() {
		z := compress(f, 6, data[:min(len(data), 5000)])
		f.Add(z[10+2+5+5+8 : len(z)-8])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in := bytes.NewReader(body)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(in), 64<<20))
		r, err := NewReader(io.MultiReader(bytes.NewReader([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3}), bytes.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for r.err == nil && r.state != trailer && len(got) <= 64<<20 {
			r.err = r.step()
			if r.err == nil && r.consumed() > r.end {
				r.err = io.ErrUnexpectedEOF
			}
			got = append(got, r.out[r.from:r.to]...)
			r.from = r.to
			if r.to >= window+chunk {
				r.slide()
			}
		}
		if (r.err == nil) != (wantErr == nil) {
			t.Fatalf("%v, compress/flate says %v", r.err, wantErr)
		}
		if r.err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, compress/flate has %d, or others", len(got), len(want))
		}
	})
}
