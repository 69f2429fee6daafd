package blocks

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// example is the file system of SPEC.md.
func example() ([]byte, Header, []Range) {
	disk := bytes.Repeat([]byte{0xEE}, 64<<10)
	copy(disk[1<<10:], bytes.Repeat([]byte("A"), 1<<10))
	copy(disk[8<<10:], append(bytes.Repeat([]byte("B"), 1<<10), bytes.Repeat([]byte("C"), 1<<10)...))
	clear(disk[16<<10 : 32<<10])
	var uuid [16]byte
	for i := range uuid {
		uuid[i] = byte(i)
	}
	return disk, Header{BlockSize: 1 << 10, Blocks: 64, UUID: uuid, Features: [3]uint32{0x3c, 0x2c2, 0x46b},
		Extents: []Extent{{1, 1, false}, {8, 2, false}, {16, 16, true}}}, []Range{{1, 1}, {8, 2}, {16, 16}}
}

func encodeExample(t testing.TB) []byte {
	t.Helper()
	disk, h, _ := example()
	r, err := NewReader(bytes.NewReader(disk), &h)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// The bytes in SPEC.md are those that this package writes.
func TestSpecExample(t *testing.T) {
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(spec), "it begins with\n\n```\n")
	text, _, _ = strings.Cut(text, "```")
	want, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	stream := encodeExample(t)
	if len(stream) != 4096+3072 || !bytes.HasPrefix(stream, want) || len(want) != 80+3*16 {
		t.Errorf("the example is\n%s", hex.Dump(stream[:128]))
	}
}

func TestReadHeader(t *testing.T) {
	_, want, _ := example()
	r := bytes.NewReader(encodeExample(t))
	got, err := ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(Header{})); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if r.Len() != 3072 || got.DataSize() != 3072 || got.Size() != 64<<10 {
		t.Errorf("%d bytes follow, data of %d, file system of %d", r.Len(), got.DataSize(), got.Size())
	}
}

// A damaged byte anywhere before the data is found.
func TestDamage(t *testing.T) {
	stream := encodeExample(t)
	for at := range 4096 {
		bad := bytes.Clone(stream)
		bad[at] ^= 0x40
		if _, err := ReadHeader(bytes.NewReader(bad)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d damaged: %v, want ErrCorrupt", at, err)
		}
		if _, err := ReadHeader(bytes.NewReader(stream[:at])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v, want ErrCorrupt", at, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, change := range map[string]func(*Header){
		"block size": func(h *Header) { h.BlockSize = 1000 },
		"overlap":    func(h *Header) { h.Extents[1].Start = 1 },
		"beyond":     func(h *Header) { h.Extents[2].Count = 49 },
		"empty":      func(h *Header) { h.Extents[0].Count = 0 },
		"none":       func(h *Header) { h.Extents = nil },
		"blocks":     func(h *Header) { h.Blocks = 1<<40 + 1 },
	} {
		_, h, _ := example()
		change(&h)
		if _, err := h.Encode(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

func TestNewHeaderFindsZeros(t *testing.T) {
	disk := bytes.Repeat([]byte{1}, 1<<20)
	clear(disk[100<<10 : 164<<10]) // 64 KiB
	clear(disk[200<<10 : 263<<10]) // less
	clear(disk[400<<10 : 600<<10])
	got, err := NewHeader(bytes.NewReader(disk), Header{BlockSize: 1 << 10, Blocks: 1 << 10}, []Range{{0, 300}, {400, 624}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Extent{{0, 100, false}, {100, 64, true}, {164, 136, false}, {400, 200, true}, {600, 424, false}}
	if diff := cmp.Diff(want, got.Extents); diff != "" {
		t.Errorf("extents (-want +got):\n%s", diff)
	}
}

// Whatever pieces the data come in, each byte gets to its place.
func TestPlaces(t *testing.T) {
	disk, h, ranges := example()
	stream := encodeExample(t)
	if _, err := h.Encode(); err != nil {
		t.Fatal(err)
	}
	data := stream[h.DataOffset():]
	for _, piece := range []int64{1, 7, 1000, 1024, 1500, 5000} {
		got := bytes.Repeat([]byte{0xEE}, len(disk))
		for off := int64(0); off < int64(len(data)); off += piece {
			from := off
			for p := range h.Places(off, piece) {
				from += int64(copy(got[p.Offset:p.Offset+p.Size], data[from:]))
			}
		}
		for p := range h.Zeros() {
			clear(got[p.Offset : p.Offset+p.Size])
		}
		for _, r := range ranges {
			from, to := r.Start<<10, (r.Start+r.Count)<<10
			if !bytes.Equal(got[from:to], disk[from:to]) {
				t.Errorf("pieces of %d: blocks from %d on are wrong", piece, r.Start)
			}
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(encodeExample(f)[:4096])
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ReadHeader(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := h.Encode()
		if err != nil || !bytes.HasPrefix(data, again) {
			t.Errorf("what was read is not written the same: %v", err)
		}
		sum := int64(0)
		for p := range h.Places(0, h.DataSize()) {
			if p.Offset < 0 || p.Offset+p.Size > h.Size() {
				t.Errorf("%+v is outside of the file system", p)
			}
			sum += p.Size
		}
		if sum != h.DataSize() {
			t.Errorf("places of %d bytes for data of %d", sum, h.DataSize())
		}
	})
}
