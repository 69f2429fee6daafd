package session

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return raw
}

var (
	exampleHello = Hello{Node: "node-1.lab", Token: "00ff", BootID: "b", Agent: "1.0"}
	exampleReply = Reply{Error: "token was used", Final: true}
)

func TestVectors(t *testing.T) {
	var buf bytes.Buffer
	if err := WriteFrame(&buf, &exampleHello); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(vector(t, "hello.hex"), buf.Bytes()); diff != "" {
		t.Errorf("hello frame differs from the vector (-vector +got):\n%s\n%x", diff, buf.Bytes())
	}
	var reply Reply
	if err := ReadFrame(bytes.NewReader(vector(t, "reply.hex")), &reply); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleReply, reply); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	frame := func(n uint32, body string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, n), body...)
	}
	for name, in := range map[string][]byte{
		"nothing":   nil,
		"empty":     frame(0, ""),
		"too long":  frame(MaxFrame+1, strings.Repeat(" ", MaxFrame+1)),
		"cut short": frame(10, "{}"),
		"not JSON":  frame(2, "xx"),
	} {
		var h Hello
		if err := ReadFrame(bytes.NewReader(in), &h); err == nil {
			t.Errorf("%s: ReadFrame accepted %x", name, in)
		}
	}
}

func TestHelloCheck(t *testing.T) {
	if err := exampleHello.Check(); err != nil {
		t.Errorf("example: %v", err)
	}
	for member, h := range map[string]Hello{
		"node":    {},
		"token":   {Node: "n", Token: "xyz"},
		"boot_id": {Node: "n", BootID: strings.Repeat("b", 65)},
	} {
		if err := h.Check(); err == nil || !strings.Contains(err.Error(), member) {
			t.Errorf("Check(%+v) = %v, want an error about %s", h, err, member)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(vector(f, "hello.hex"))
	f.Add(vector(f, "reply.hex"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var h Hello
		if err := ReadFrame(bytes.NewReader(in), &h); err != nil {
			return
		}
		if h.Check() != nil {
			return
		}
		var buf bytes.Buffer
		if err := WriteFrame(&buf, &h); err != nil {
			t.Fatalf("cannot write back %+v: %v", h, err)
		}
	})
}
