package kascade

import (
	"slices"
	"testing"

	"kadeploy/kascade/internal/wire"
)

func digestOf(b byte) Digest { return Digest{b} }

func heldMessage(first int, list []Digest) *wire.Held {
	m := &wire.Held{First: uint32(first)}
	for _, d := range list {
		m.Data = append(m.Data, d[:]...)
	}
	return m
}

// FuzzClaims: whatever nodes say that they hold, a claim is settled at the first chunk that
// differs, and what is kept beside the common list is given back.
func FuzzClaims(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5}, []byte{1, 2, 3}, []byte{1, 2, 9, 4}, byte(2))
	f.Add([]byte{1, 2}, []byte{1, 2, 3}, []byte{}, byte(0))
	f.Add([]byte{}, []byte{7}, []byte{7, 7}, byte(1))
	f.Fuzz(func(t *testing.T, source, a, b []byte, step byte) {
		list := func(bytes []byte) (out []Digest) {
			for _, x := range bytes {
				out = append(out, digestOf(x))
			}
			return out
		}
		made, nodes := list(source), [][]Digest{list(a), list(b)}
		c := newClaims(false)
		got := map[int]int{}
		note := func(s []settled) {
			for _, x := range s {
				got[x.node] = x.chunks
			}
		}
		for i, n := range nodes {
			c.add(i, len(n))
			for at := 0; at < len(n); {
				next := min(len(n), at+1+int(step%3))
				if err := c.put(i, heldMessage(at, n[at:next])); err != nil {
					t.Fatal(err)
				}
				at = next
			}
			note(c.compare(made[:min(len(made), int(step))], false))
		}
		note(c.compare(made, true))
		for i, n := range nodes {
			want := 0
			for want < min(len(n), len(made)) && n[want] == made[want] {
				want++
			}
			if chunks, ok := got[i]; !ok || chunks != want {
				t.Errorf("node %d settled: %v at %d, want %d", i, ok, chunks, want)
			}
		}
		if c.spare != maxDeviating || c.open() {
			t.Errorf("%d digests are still kept", maxDeviating-c.spare)
		}
	})
}

func TestClaimsLimits(t *testing.T) {
	c := newClaims(true)
	c.spare = 2
	for i := range 2 {
		c.add(i, 6)
	}
	same := slices.Repeat([]Digest{digestOf(1)}, 6)
	other := slices.Repeat([]Digest{digestOf(2)}, 6)
	if err := c.put(0, heldMessage(0, same)); err != nil {
		t.Fatal(err)
	}
	if err := c.put(1, heldMessage(0, other)); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*wire.Held{"a gap": heldMessage(7, nil), "too many": heldMessage(6, same[:1]), "twice": heldMessage(0, same[:1])} {
		if err := c.put(0, m); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if c.want(0) {
		t.Error("a stream is skipped before every node has answered")
	}
	c.begin()
	if !c.want(1) || c.want(2) {
		t.Error("a stream is skipped as far as the shortest list, which was cut at 2 chunks")
	}
	c.differs(0, digestOf(2))
	if c.want(0) {
		t.Error("a stream is skipped although a node differs")
	}
	if got := c.compare(other, false); !slices.ContainsFunc(got, func(s settled) bool { return s == settled{1, 2} }) || len(got) != 2 {
		t.Errorf("settled %v, want node 0 at 0 and node 1, which was cut, at 2", got)
	}
}
