package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vectors are the messages of ../../testdata/vectors.txt, in its order.
var vectors = []struct {
	name string
	msg  Message
}{
	{"START", &Start{Version: 1, Self: 2, Nodes: 3, Size: 5_000_000_000, ChunkSize: 1 << 20, Window: 32 << 20, DeadAfter: 2500, Key: [32]byte{1, 2, 3, 31: 32}, Name: "node-3", HeadHost: "10.0.0.1", HeadPort: 40001, Options: Compressed}},
	{"DIGESTS", &Digests{First: 7, Data: bytes.Repeat([]byte{0xAB}, 64)}},
	{"ATTACH", &Attach{Gen: 4, Previous: 1, Name: "node-2", Host: "10.0.0.12", Port: 40002}},
	{"ATTACH to the head", &Attach{Gen: 1, Previous: HeadID, Name: "head", Host: "10.0.0.1", Port: 40001}},
	{"DROP", &Drop{Reader: 5}},
	{"RELEASE", &Release{}},
	{"STOP", &Stop{Reason: "cancelled: été"}},
	{"PING", &Ping{}},
	{"EXPECT", &Expect{Reader: 6, Gen: 2, From: 1 << 33}},
	{"READY", &Ready{Version: 1, Port: 40003, Held: 3 << 20, ChunkSize: 1 << 20}},
	{"SIZE", &Size{Bytes: 5_000_000_001}},
	{"RESUME", &Resume{From: 2 << 20}},
	{"HELD", &Held{First: 1, Data: bytes.Repeat([]byte{0xCD}, 64)}},
	{"STATUS", &Status{Received: 3 << 20, Consumed: 2 << 20, Oldest: 1 << 20, Full: true,
		Period: 200_000, Starved: 1000, Blocked: 2000, NoRoom: 150_000, Sink: 190_000, Verify: 3000, SinkRate: 80 << 20}},
	{"LOST", &Lost{Gen: 4, Kind: LostRead, Reason: "node-2: connection reset by peer"}},
	{"BAD", &Bad{Chunk: 9, Kind: BadCRC, Previous: 1}},
	{"SINK-FAILED", &SinkFailed{Reason: "no space left on device"}},
	{"DONE", &Done{Consumed: 5_000_000_000}},
	{"FAILED", &Failed{Reason: "open the data port: permission denied"}},
}

// readVectors is the file's lines "name: hex"; text after # is for people.
func readVectors(t testing.TB) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile("../../testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	v := map[string][]byte{}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		name, digits, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v[name] = raw
	}
	return v
}

func TestVectors(t *testing.T) {
	file := readVectors(t)
	for _, v := range vectors {
		want, ok := file[v.name]
		if !ok {
			t.Errorf("%s is not in the file; it would be\n%s: %x", v.name, v.name, Append(nil, v.msg))
			continue
		}
		if got := Append(nil, v.msg); !bytes.Equal(got, want) {
			t.Errorf("%s encodes as\n%x, want\n%x", v.name, got, want)
		}
		got, err := NewReader(bytes.NewReader(want)).Next()
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
		} else if diff := cmp.Diff(v.msg, got); diff != "" {
			t.Errorf("%s decodes differently (-want +got):\n%s", v.name, diff)
		}
	}
}

// TestHandshakeVectors does one handshake with fixed nonces.
func TestHandshakeVectors(t *testing.T) {
	file := readVectors(t)
	key := bytes.Repeat([]byte{7}, KeySize)
	req := Request{Kind: Follow, Reader: 3, Gen: 2, From: 1 << 20, To: 5 << 20}
	listener, dialer := NewHandshake(key), NewHandshake(key)
	hello := listener.Hello([16]byte{1, 15: 16})
	if err := dialer.ReadHello(hello); err != nil {
		t.Fatal(err)
	}
	request := dialer.Request(req, [16]byte{17, 15: 32})
	got, err := listener.ReadRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	if got != req {
		t.Errorf("ReadRequest = %+v, want %+v", got, req)
	}
	want := Answer{Status: OK, Start: 2 << 20}
	answer := listener.Answer(want)
	if a, err := dialer.ReadAnswer(answer); err != nil || a != want {
		t.Errorf("ReadAnswer = %+v, %v, want %+v", a, err, want)
	}
	header := make([]byte, HeaderSize)
	packed := make([]byte, HeaderSize)
	for _, c := range []struct {
		b    []byte
		want Header
	}{
		{header, Header{Chunk: 4, Length: 1 << 20, CRC: 0xDEADBEEF}},
		{packed, Header{Chunk: 4, Length: 1 << 19, CRC: 0xDEADBEEF, Packed: true}},
	} {
		c.want.Put(c.b)
		if h := ReadHeader(c.b); h != c.want {
			t.Errorf("ReadHeader = %+v, want %+v", h, c.want)
		}
	}
	bound := NewHandshake(key)
	bound.Bind(bytes.Repeat([]byte{9}, 32))
	if err := bound.ReadHello(hello); err != nil {
		t.Fatal(err)
	}
	encrypted := bound.Request(req, [16]byte{17, 15: 32})
	for name, b := range map[string][]byte{"REQUEST in TLS": encrypted, "HELLO": hello, "REQUEST": request, "ANSWER": answer, "CHUNK header": header, "CHUNK header, compressed": packed} {
		if !bytes.Equal(b, file[name]) {
			t.Errorf("%s: %x\nwant %x", name, b, file[name])
		}
	}
}

func TestHandshakeRefuses(t *testing.T) {
	good := NewHandshake([]byte("right"))
	hello := bytes.Clone(good.Hello([16]byte{1}))
	for _, c := range []struct {
		name string
		key  string
		harm func(request []byte)
	}{
		{"wrong key", "wrong", func([]byte) {}},
		{"empty key", "", func([]byte) {}},
		{"changed range", "right", func(b []byte) { b[20] ^= 1 }},
		{"changed reader", "right", func(b []byte) { b[7] ^= 1 }},
		{"changed nonce", "right", func(b []byte) { b[30] ^= 1 }},
		{"changed MAC", "right", func(b []byte) { b[75] ^= 1 }},
	} {
		dialer := NewHandshake([]byte(c.key))
		if err := dialer.ReadHello(hello); err != nil {
			t.Fatal(err)
		}
		request := bytes.Clone(dialer.Request(Request{Kind: Follow, To: 9}, [16]byte{2}))
		c.harm(request)
		if _, err := good.ReadRequest(request); !errors.Is(err, ErrNotProved) {
			t.Errorf("%s: ReadRequest = %v, want ErrNotProved", c.name, err)
		}
	}
	// A recorded request does not fit another connection's hello.
	dialer := NewHandshake([]byte("right"))
	if err := dialer.ReadHello(hello); err != nil {
		t.Fatal(err)
	}
	request := dialer.Request(Request{Kind: Follow, To: 9}, [16]byte{2})
	other := NewHandshake([]byte("right"))
	other.Hello([16]byte{9})
	if _, err := other.ReadRequest(request); !errors.Is(err, ErrNotProved) {
		t.Errorf("replay: ReadRequest = %v, want ErrNotProved", err)
	}
	// Nor does one that was made in another session of TLS.
	mine, his := NewHandshake([]byte("right")), NewHandshake([]byte("right"))
	mine.Bind([]byte{1})
	his.Bind([]byte{2})
	if err := his.ReadHello(mine.Hello([16]byte{9})); err != nil {
		t.Fatal(err)
	}
	if _, err := mine.ReadRequest(his.Request(Request{Kind: Follow, To: 9}, [16]byte{2})); !errors.Is(err, ErrNotProved) {
		t.Errorf("another session: ReadRequest = %v, want ErrNotProved", err)
	}
	// A listener that does not know the key cannot answer.
	liar := NewHandshake([]byte("wrong"))
	liar.Hello([16]byte{1})
	if _, err := dialer.ReadAnswer(liar.Answer(Answer{})); !errors.Is(err, ErrNotProved) {
		t.Errorf("answer without the key: %v, want ErrNotProved", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	frame := func(length uint32, b ...byte) []byte { return append(be.AppendUint32(nil, length), b...) }
	for name, b := range map[string][]byte{
		"empty message":            frame(0),
		"too long":                 frame(MaxMessage+1, 7),
		"unknown type":             frame(1, 30),
		"short body":               frame(3, byte(TypeDrop), 0, 0),
		"string beyond the body":   frame(4, byte(TypeStop), 0, 9, 'x'),
		"string beyond the limit":  append(frame(3+MaxString+1, byte(TypeStop), 0x10, 0x01), make([]byte, MaxString+1)...),
		"digests not of 32 bytes":  frame(6, byte(TypeDigests), 0, 0, 0, 1, 5),
		"key that ends too early":  frame(20, append([]byte{byte(TypeStart)}, make([]byte, 19)...)...),
		"unknown node's type (64)": frame(1, 64),
	} {
		var violated *ProtocolError
		if m, err := NewReader(bytes.NewReader(b)).Next(); !errors.As(err, &violated) {
			t.Errorf("%s: Next = %v, %v, want a ProtocolError", name, m, err)
		}
	}
	// Newer programs may add types above 127 and fields at the end.
	b := append(frame(2, 200, 1), frame(6, byte(TypeDrop), 0, 0, 0, 5, 99)...)
	m, err := NewReader(bytes.NewReader(b)).Next()
	if d, ok := m.(*Drop); err != nil || !ok || d.Reader != 5 {
		t.Errorf("message of a newer program: %v, %v", m, err)
	}
	if _, err := NewReader(bytes.NewReader(Append(nil, &Drop{})[:6])).Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("cut message: %v", err)
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]int{"short": 5, strings.Repeat("x", 5000): 4096, "x" + strings.Repeat("é", 3000): 4095} {
		if got := len(Clip(in)); got != want {
			t.Errorf("Clip of %d bytes keeps %d, want %d", len(in), got, want)
		}
	}
}

// FuzzReader: no bytes make the reader panic or take more memory than the limit; what it
// accepts has one encoding of the same meaning.
func FuzzReader(f *testing.F) {
	for _, b := range readVectors(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bufio.NewReader(bytes.NewReader(b)))
		for {
			m, err := r.Next()
			if err != nil {
				return
			}
			again, err := NewReader(bytes.NewReader(Append(nil, m))).Next()
			if err != nil {
				t.Fatalf("%#v cannot be read again: %v", m, err)
			}
			if got, want := fmt.Sprintf("%#v", again), fmt.Sprintf("%#v", m); got != want {
				t.Fatalf("read again: %s, want %s", got, want)
			}
		}
	})
}

// FuzzRequest: nobody without the key gets through.
func FuzzRequest(f *testing.F) {
	f.Add(readVectors(f)["REQUEST"])
	f.Fuzz(func(t *testing.T, b []byte) {
		h := NewHandshake([]byte("a key that the fuzzer does not know"))
		h.Hello([16]byte{})
		if r, err := h.ReadRequest(b); err == nil {
			t.Fatalf("accepted %+v", r)
		}
		_ = h.ReadHello(b)
		if a, err := h.ReadAnswer(b); err == nil {
			t.Fatalf("accepted %+v", a)
		}
	})
}
