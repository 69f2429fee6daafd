package tree

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return d
}

func TestScalars(t *testing.T) {
	d := parse(t, "s: text\nempty: ''\nnull: ~\nhex: 0x83\ndate: 2021-09-23\nyes: yes\nquoted: \"yes\"\nb: true\ntext: 12\nalias: &a x\nsame: *a\n")
	n := d.Root()
	got := []any{
		n.Get("s").String("d"), n.Get("empty").String("d"), n.Get("null").String("d"), n.Get("absent").String("d"),
		n.Get("hex").Int(1), n.Get("absent").Int(1), n.Get("date").String("d"), n.Get("yes").Bool(false), n.Get("b").Bool(false),
		n.Get("text").Text("d"), n.Get("same").String("d"), n.Get("alias").String("d"), n.Get("a").Get("b").Get("c").Int(7),
	}
	want := []any{"text", "", "d", "d", 0x83, 1, "2021-09-23", true, true, "12", "x", "x", 7}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if p := d.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
	n.Get("quoted").Bool(false)
	n.Get("s").Int(0)
	n.Get("s").Items()
	n.Get("text").String("")
	if p := d.Problems(); len(p) != 4 {
		t.Errorf("wrong types: %v, want 4 problems", p)
	}
}

func TestProblemsAndUnused(t *testing.T) {
	d := parse(t, "a:\n  b: 1\n  c:\n  - d: 2\n    e: 3\nf: 4\ng: {h: 5}\nf: 6\n")
	n := d.Root()
	n.Get("a").Get("c").Items()[0].Get("d").Choice("", "x", "y")
	n.Get("a").Get("must").Must()
	n.Get("g").Items()
	want := []Problem{
		{2, "a/must", "The field is mandatory"},
		{4, "a/c/0/d", "Wrong type, the field must be a string"},
		{7, "g", "Wrong type, the field must be a list"},
		{8, "f", "The field is given twice"},
	}
	if diff := cmp.Diff(want, d.Problems()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	unused := []Problem{{2, "a/b", "Unused field"}, {5, "a/c/0/e", "Unused field"}, {6, "f", "Unused field"}}
	if diff := cmp.Diff(unused, d.Unused()); diff != "" {
		t.Errorf("unused (-want +got):\n%s", diff)
	}
}

func TestMerge(t *testing.T) {
	d := parse(t, "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nm:\n  <<: [*b, *o]\n  x: 0\n")
	m := d.Root().Get("m")
	got := []int{m.Get("x").Int(-1), m.Get("y").Int(-1), m.Get("z").Int(-1)}
	if diff := cmp.Diff([]int{0, 2, 4}, got); diff != "" {
		t.Errorf("x, y, z (-want +got):\n%s", diff)
	}
}

// TestMergeBomb has maps that merge each other: 9 levels of 9 are 387 million.
func TestMergeBomb(t *testing.T) {
	var text strings.Builder
	text.WriteString("a0: &a0 {x: 1}\n")
	for i := 1; i < 10; i++ {
		prev := "*a" + string(rune('0'+i-1))
		text.WriteString("a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " {<<: [" + strings.Repeat(prev+", ", 9) + prev + "]}\n")
	}
	d := parse(t, text.String())
	d.Root().Get("a9").Get("x").Int(0)
	if p := d.Problems(); len(p) == 0 || !strings.Contains(p[0].Reason, "Too many merged maps") {
		t.Errorf("problems: %v, want that there are too many merged maps", p)
	}
}

func TestFromMap(t *testing.T) {
	d := FromMap(map[string]any{
		"f": 3.0, "half": 0.5, "big": 1e30, "n": json.Number("2021092316"), "s": "12", "l": []any{"a", nil}, "m": map[string]any{"k": true}, "odd": struct{}{},
	})
	n := d.Root()
	got := []any{n.Get("f").Int(0), n.Get("n").Int(0), n.Get("s").String(""), n.Get("m").Get("k").Bool(false), len(n.Get("l").Items())}
	if diff := cmp.Diff([]any{3, 2021092316, "12", true, 2}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	n.Get("half").Int(0)
	n.Get("big").Int(0)
	n.Get("odd").String("")
	if p := d.Problems(); len(p) != 3 {
		t.Errorf("problems: %v, want 3", p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: &a\n  b: [1, {c: *a}]\n<<: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		for _, key := range d.Root().Keys() {
			n := d.Root().Get(key)
			n.String("")
			n.Int(0)
			n.Bool(false)
			n.Text("")
			n.Strings()
			n.Keys()
			n.Get("x").Must()
		}
		d.Problems()
		d.Unused()
	})
}
