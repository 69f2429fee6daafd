package store

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/apperr"
)

// rightsOf reads "user node part, user node part".
func rightsOf(text string) (rights []Right) {
	for item := range strings.SplitSeq(text, ",") {
		if f := strings.Fields(item); len(f) == 3 {
			rights = append(rights, Right{f[0], f[1], f[2]})
		}
	}
	return rights
}

func TestRights(t *testing.T) {
	const (
		ok       = -1
		nothing  = int(apperr.NothingModified)
		conflict = int(apperr.ConflictingElements)
	)
	for name, test := range map[string]struct {
		before, do, rights string
		want               int
		after              string
	}{
		"grant":                       {"", "grant", "bob n1 a, bob n1 b", ok, "bob n1 a, bob n1 b"},
		"grant again":                 {"bob n1 a", "grant", "bob n1 a", nothing, "bob n1 a"},
		"grant a little more":         {"bob n1 a", "grant", "bob n1 a, bob n1 b", ok, "bob n1 a, bob n1 b"},
		"all parts has them":          {"bob n1 *", "grant", "bob n1 a", nothing, "bob n1 *"},
		"all nodes has them":          {"bob * *", "grant", "bob n1 *, bob n2 a", nothing, "bob * *"},
		"a part of all nodes has not": {"bob * a", "grant", "bob n1 *", ok, "bob * a, bob n1 *"},
		"wider replaces narrower":     {"bob n1 a, bob n2 a", "grant", "bob * a", ok, "bob * a"},
		"all parts replaces parts":    {"bob n1 a, bob n1 b, bob n2 a", "grant", "bob n1 *", ok, "bob n1 *, bob n2 a"},
		"another has the node":        {"eve n1 a", "grant", "bob n1 b", conflict, "eve n1 a"},
		"another has another node":    {"eve n2 a", "grant", "bob n1 b", ok, "bob n1 b, eve n2 a"},
		"one conflict stops all":      {"eve n2 a", "grant", "bob n1 b, bob n2 b", conflict, "eve n2 a"},
		"an administrator does not":   {"root n1 a", "grant", "bob n1 a", ok, "bob n1 a, root n1 a"},
		"overwrite":                   {"eve n1 a, eve n2 a, root n1 a", "overwrite", "bob n1 b", ok, "bob n1 b, eve n2 a, root n1 a"},
		"revoke":                      {"bob n1 a, bob n1 b", "revoke", "bob n1 a", ok, "bob n1 b"},
		"revoke all parts":            {"bob n1 a, bob n1 b, bob n2 a", "revoke", "bob n1 *", ok, "bob n2 a"},
		"revoke all":                  {"bob n1 a, bob * b, eve n1 a", "revoke", "bob * *", ok, "eve n1 a"},
		"revoke nothing":              {"eve n1 a", "revoke", "bob n1 a", nothing, "eve n1 a"},
		"a node of all nodes":         {"bob * a", "revoke", "bob n1 a", conflict, "bob * a"},
		"a part of all parts":         {"bob n1 *", "revoke", "bob n1 a", conflict, "bob n1 *"},
		"one of everything":           {"bob * *", "revoke", "bob n1 a", conflict, "bob * *"},
		"a part of all nodes, all":    {"bob * a, bob * b", "revoke", "bob * a", ok, "bob * b"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			for _, r := range rightsOf(test.before) {
				if _, err := s.writer.Exec(`INSERT INTO rights VALUES (?, ?, ?)`, r.User, r.Node, r.Partition); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if test.do == "revoke" {
				err = s.RevokeRights(t.Context(), rightsOf(test.rights))
			} else {
				err = s.GrantRights(t.Context(), rightsOf(test.rights), []string{"root"}, test.do == "overwrite")
			}
			got := ok
			if code, coded := apperr.Of(err); coded {
				got = int(code)
			} else if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("%s: %v, want code %d", test.do, err, test.want)
			}
			after, err := s.ListRights(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rightsOf(test.after), after); diff != "" {
				t.Errorf("after that (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListRights(t *testing.T) {
	s := open(t)
	if err := s.GrantRights(t.Context(), rightsOf("bob n1 a, bob n2 *, eve * b"), nil, false); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ user, node, want string }{
		{"bob", "", "bob n1 a, bob n2 *"}, {"", "n1", "bob n1 a, eve * b"}, {"bob", "n1", "bob n1 a"}, {"mallory", "", ""},
	} {
		got, err := s.ListRights(t.Context(), test.user, test.node)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rightsOf(test.want), got); diff != "" {
			t.Errorf("ListRights(%q, %q) (-want +got):\n%s", test.user, test.node, diff)
		}
	}
	parts, err := s.Partitions(t.Context(), "bob")
	if diff := cmp.Diff(map[string][]string{"n1": {"a"}, "n2": {"*"}}, parts); err != nil || diff != "" {
		t.Errorf("Partitions: %v (-want +got):\n%s", err, diff)
	}
}
