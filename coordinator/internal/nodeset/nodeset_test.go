package nodeset

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kadeploy/coordinator/internal/apperr"
)

func TestExpand(t *testing.T) {
	for expr, want := range map[string]string{
		"node-1.lab":            "node-1.lab",
		"node-[1-3].lab":        "node-1.lab node-2.lab node-3.lab",
		"n[1-2,7,09-12]t":       "n1t n2t n7t n09t n10t n11t n12t",
		"n[9-11]":               "n9 n10 n11",
		"n[08-11]":              "n08 n09 n10 n11",
		"n[007]":                "n007",
		"10.0.65.[1-3]":         "10.0.65.1 10.0.65.2 10.0.65.3",
		"a[1-2]b[1-2]":          "a1b1 a1b2 a2b1 a2b2",
		"a[1-2],b,c[3,5].x":     "a1 a2 b c3.x c5.x",
		"[1-2].lab":             "1.lab 2.lab",
		"node-[1-1].lab":        "node-1.lab",
		"a.very-long.name.of.x": "a.very-long.name.of.x",
	} {
		got, err := Expand(expr)
		if err != nil {
			t.Errorf("Expand(%q): %v", expr, err)
			continue
		}
		if diff := cmp.Diff(strings.Fields(want), got); diff != "" {
			t.Errorf("Expand(%q) (-want +got):\n%s", expr, diff)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	for expr, want := range map[string]string{
		"":                      "a name is empty",
		"a,":                    "a name is empty",
		"a b":                   "the character ' ' is not allowed",
		"a_b":                   "the character '_' is not allowed",
		"é":                     "the character 'é' is not allowed",
		"n[1-3":                 "'[' without ']'",
		"n1]":                   "']' without '['",
		"n[[1]]":                "brackets cannot stand within brackets",
		"n[]":                   "'' is no number",
		"n[1,]":                 "'' is no number",
		"n[a-c]":                "'a' is no number",
		"n[1-2-3]":              "'2-3' is no number",
		"n[3-1]":                "the range 3-1 runs backwards",
		"n[1-100001]":           "it stands for more than 100000 nodes",
		"n[1-99999999999]":      "is no number of 1 to 9 digits",
		"n[1-1000]x[1-101]":     "it stands for more than 100000 nodes",
		"n[1-60000],m[1-50000]": "it stands for more than 100000 nodes",
	} {
		_, err := Expand(expr)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Expand(%q): %v, want an error with %q", expr, err, want)
		}
		if code, ok := apperr.Of(err); !ok || code != apperr.InvalidNodelist {
			t.Errorf("Expand(%q): code %v, want %v", expr, code, apperr.InvalidNodelist)
		}
	}
	if names, err := Expand("n[1-100000]"); err != nil || len(names) != MaxNodes {
		t.Errorf("Expand of %d nodes = %d, %v", MaxNodes, len(names), err)
	}
}

func TestFold(t *testing.T) {
	for names, want := range map[string]string{
		"":           "",
		"node-1.lab": "node-1.lab",
		"node-3.lab node-1.lab node-2.lab node-2.lab": "node-[1-3].lab",
		"n1.lab n3.lab n4.lab n10.lab":                "n[1,3-4,10].lab",
		"n9 n10 n11":                                  "n[9-11]",
		"n09 n10 n11":                                 "n[09-11]",
		"n8 n09":                                      "n[8,09]",
		"n99 n099 n100 n101":                          "n[99,099-101]",
		"r1c1.lab r1c2.lab r2c1.lab":                  "r1c[1-2].lab,r2c1.lab",
		"a1.x a2.y":                                   "a1.x,a2.y",
		"server.lab n1.lab n2.lab":                    "n[1-2].lab,server.lab",
		"n1234567890123 n1234567890124":               "n1234567890123,n1234567890124",
	} {
		if got := Fold(strings.Fields(names)); got != want {
			t.Errorf("Fold(%s) = %s, want %s", names, got, want)
		}
	}
}

// TestFoldExpand checks that Expand undoes Fold, for names with all sorts of numbers.
func TestFoldExpand(t *testing.T) {
	name := rapid.StringMatching(`[ab]-?(0{0,2}([1-9]|1[0-9]|9[89]|10[0-3]))?([ab]0?[1-4])?(\.(x|y1))?`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(name, 1, 40).Draw(t, "names")
		got, err := Expand(Fold(names))
		if err != nil {
			t.Fatalf("Expand(%s): %v", Fold(names), err)
		}
		Sort(got)
		Sort(names)
		if diff := cmp.Diff(slices.Compact(names), got); diff != "" {
			t.Fatalf("Expand(%s) (-want +got):\n%s", Fold(names), diff)
		}
	})
}

func TestSort(t *testing.T) {
	want := strings.Fields("z-1.a node-1.lab x.node-1.lab node-02.lab node-2.lab node-9.lab node-10.lab node-10-kavlan-1.lab node-11.lab a.zoo")
	got := slices.Clone(want)
	slices.Reverse(got)
	Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Sort (-want +got):\n%s", diff)
	}
}

func TestCompareIsAnOrder(t *testing.T) {
	name := rapid.StringMatching(`[a0-9.-]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := name.Draw(t, "a"), name.Draw(t, "b"), name.Draw(t, "c")
		if (Compare(a, b) == 0) != (a == b) || Compare(a, b) != -Compare(b, a) {
			t.Fatalf("Compare(%q, %q) = %d, and %d the other way", a, b, Compare(a, b), Compare(b, a))
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q <= %q <= %q, but not %q <= %q", a, b, c, a, c)
		}
	})
}

func TestResolve(t *testing.T) {
	r := NewResolver(strings.Fields(`node-1.lab node-2.lab node-10.lab node-12.lab griffon-1.nancy.fr griffon-1.rennes.fr
		gros-3.nancy.fr 7.lab 17.lab grosminet.lab lab.node-1.zoo`))
	for name, want := range map[string]string{
		"node-1.lab":      "node-1.lab",
		"node-1":          "node-1.lab", // not node-10, node-12, nor lab.node-1.zoo: the first label is exact
		"node-10":         "node-10.lab",
		"ode-2":           "node-2.lab",
		"griffon-1.nancy": "griffon-1.nancy.fr",
		"gros-3":          "gros-3.nancy.fr",
		"7":               "7.lab", // first label; not 17.lab
		"17":              "17.lab",
		"minet":           "grosminet.lab",
		"gros-3.nancy.fr": "gros-3.nancy.fr",
	} {
		if got, err := r.Resolve(name); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"griffon-1": "ambiguous, it may be griffon-1.nancy.fr or griffon-1.rennes.fr: give the full name",
		"gros":      "ambiguous",
		"node-3":    "does not exist",
		"":          "does not exist",
		"node":      "or others",
	} {
		_, err := r.Resolve(name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve(%q): %v, want an error with %q", name, err, want)
		}
		if code, ok := apperr.Of(err); !ok || code != apperr.InvalidNodelist {
			t.Errorf("Resolve(%q): code %v, want %v", name, code, apperr.InvalidNodelist)
		}
	}
	got, err := r.ResolveAll([]string{"node-[10,2]", "node-2.lab", "7"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields("7.lab node-2.lab node-10.lab"), got); diff != "" {
		t.Errorf("ResolveAll (-want +got):\n%s", diff)
	}
	if _, err := r.ResolveAll([]string{"node-1", "node-[1-3]"}); err == nil {
		t.Error("ResolveAll accepted a set with an unknown node")
	}
}

func TestParseFile(t *testing.T) {
	got, err := ParseFile("# nodes\nnode-2.lab\n\nnode-1.lab # first\r\nnode-2.lab\n  n[1-2]")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields("node-2.lab node-1.lab n1 n2"), got); diff != "" {
		t.Errorf("ParseFile (-want +got):\n%s", diff)
	}
	if _, err := ParseFile("a\nb c\n"); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("ParseFile: %v, want an error in line 2", err)
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"node-[1-3].lab", "n[1-2,7,09-12]t,b", "a[1-2]b[1-2]", "n[", "n[1-999999999]", "[][]", "n[0-0]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		names, err := Expand(expr)
		if err != nil {
			return
		}
		if len(names) == 0 || len(names) > MaxNodes {
			t.Fatalf("Expand(%q) gives %d names", expr, len(names))
		}
		if len(names) > 1000 {
			return
		}
		again, err := Expand(Fold(names))
		if err != nil {
			t.Fatalf("Expand(Fold(Expand(%q))): %v", expr, err)
		}
		Sort(names)
		Sort(again)
		if diff := cmp.Diff(slices.Compact(names), again); diff != "" {
			t.Fatalf("Expand(Fold(Expand(%q))) (-want +got):\n%s", expr, diff)
		}
	})
}
