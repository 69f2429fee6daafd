package bench

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/zeebo/blake3"
)

// TestVerdict: what is not as it should be is told.
func TestVerdict(t *testing.T) {
	content := bytes.Repeat([]byte("kascade"), 1000)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	file.Write(content)
	src := &data{file, int64(len(content))}
	sum := blake3.Sum256(content)
	right := hex.EncodeToString(sum[:])
	for _, c := range []struct {
		name  string
		nodes map[string]string // the head's list
		ends  []*relayEnd
		kill  []Harm
		want  string // part of the only complaint; "": none
	}{
		{"all right", map[string]string{"node-1": "", "node-2": ""}, []*relayEnd{{Bytes: 7000, Digest: right, Last: 1}, {Bytes: 7000, Digest: right, Last: 1}}, nil, ""},
		{"a victim", map[string]string{"node-1": "killed", "node-2": ""}, []*relayEnd{nil, {Bytes: 7000, Digest: right, Last: 1}}, []Harm{{1, 0.5}}, ""},
		{"a victim that is good", map[string]string{"node-1": "", "node-2": ""}, []*relayEnd{nil, {Bytes: 7000, Digest: right, Last: 1}}, []Harm{{1, 0.5}}, "node-1 is listed as good"},
		{"a survivor that failed", map[string]string{"node-1": "", "node-2": "why"}, []*relayEnd{{Bytes: 7000, Digest: right, Last: 1}, {Error: "why"}}, nil, "node-2 failed: why"},
		{"too short", map[string]string{"node-1": "", "node-2": ""}, []*relayEnd{{Bytes: 6999, Digest: right, Last: 1}, {Bytes: 7000, Digest: right, Last: 1}}, nil, "node-1 is listed as good"},
		{"other bytes", map[string]string{"node-1": "", "node-2": ""}, []*relayEnd{{Bytes: 7000, Digest: right, Last: 1}, {Bytes: 7000, Digest: "ab", Last: 1}}, nil, "node-2: its copy"},
		{"not listed", map[string]string{"node-1": ""}, []*relayEnd{{Bytes: 7000, Digest: right, Last: 1}, {Bytes: 7000, Digest: right, Last: 1}}, nil, "node-2 is in no list"},
	} {
		s := &stage{c: &Case{Nodes: 2, Size: 7000, Kill: c.kill}, ends: c.ends}
		r := s.measure(&headEnd{Nodes: c.nodes})
		if err := s.compare(r, src); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(r.Wrong, "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || len(r.Wrong) > 1 {
			t.Errorf("%s: wrong is %q, want %q", c.name, got, c.want)
		}
	}
}
