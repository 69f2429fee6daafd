package loan

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseOffer(t *testing.T) {
	for line, want := range map[string]string{
		`{"path":"/home/alice/a b.tgz"}`: "/home/alice/a b.tgz",
		`{"path":"/a","size":3}` + "\n":  "/a", // a later version's field
		`{"path":""}`:                    "",
		`{}`:                             "",
		``:                               "",
		`[]`:                             "",
		`{"path":1}`:                     "",
		`{"path":"/a"} {"path":"/b"}`:    "",
		`{"path":"` + strings.Repeat("a", MaxPath+1) + `"}`: "",
	} {
		o, err := ParseOffer([]byte(line))
		if o.Path != want || (err == nil) != (want != "") {
			t.Errorf("%.40s: %q, %v", line, o.Path, err)
		}
	}
}

func TestClientAndID(t *testing.T) {
	if id, ok := ID(Client("12ab")); id != "12ab" || !ok {
		t.Errorf("ID(Client) = %q, %v", id, ok)
	}
	for _, other := range []string{"", "http://h:1", "unix:/tmp/x"} {
		if _, ok := ID(other); ok {
			t.Errorf("%q is taken for a loan", other)
		}
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add([]byte(`{"path":"/home/alice/image.tgz"}`))
	f.Add([]byte(`{"path":"\u0000"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		o, err := ParseOffer(line)
		if err != nil {
			return
		}
		again, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := ParseOffer(again); err == nil && p != o { // invalid UTF-8 is replaced once
			t.Errorf("%q became %q", o.Path, p.Path)
		}
	})
}
