package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kadeploy/coordinator/internal/env"
)

// What is data stays data, whatever characters it has.
func TestAnyTextIsData(t *testing.T) {
	r := open(t).Registry(nil)
	version, stored := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		version++
		text := rapid.StringMatching(`[a-z,|%_'"*?\[\]é漢\\ ;#-]{1,20}`)
		d := description(text.Draw(rt, "name"), version, "private")
		d.Description, d.Author = text.Draw(rt, "description"), text.Draw(rt, "author")
		d.Alias = text.Draw(rt, "alias") + "0" // no name has a digit: an alias that is a name means the name
		d.Postinstalls = []env.Archive{{Archive: "server:///" + text.Draw(rt, "archive"), Compression: "gzip", Script: text.Draw(rt, "script")}}
		d.Boot.KernelParams = text.Draw(rt, "parameters")
		d.CustomVariables = map[string]string{"X": text.Draw(rt, "variable")}
		added, err := r.AddEnvironment(t.Context(), alice, "", d)
		if err != nil {
			return // refused by Validate: blank names, for one
		}
		stored++
		for _, name := range []string{d.Name, d.Alias} {
			found, err := r.Environments(t.Context(), alice, EnvironmentQuery{Owner: alice.User, Name: name, Version: version})
			if err != nil || len(found) != 1 {
				rt.Fatalf("%q is found %d times, %v", name, len(found), err)
			}
			if diff := cmp.Diff(d, found[0].Description); diff != "" || found[0].ID != added.ID {
				rt.Fatalf("stored and read again:\n%s", diff)
			}
		}
		// A name is no pattern: nothing but itself is meant.
		found, err := r.Environments(t.Context(), alice, EnvironmentQuery{Owner: alice.User, Name: d.Name, Pattern: true, Version: version})
		if err != nil || len(found) != 1 {
			rt.Fatalf("%q as a pattern finds %d of its version, %v", d.Name, len(found), err)
		}
	})
	if stored < version/2 {
		t.Errorf("only %d of %d were stored", stored, version)
	}
}

// What is asked of one environment does not read all of them.
func TestEnvironmentPlans(t *testing.T) {
	s := open(t)
	for _, test := range []struct {
		name string
		v    Viewer
		q    EnvironmentQuery
	}{
		{"by name", Viewer{User: "alice"}, EnvironmentQuery{Name: "debian"}},
		{"by name and owner", Viewer{User: "alice"}, EnvironmentQuery{Name: "debian", Owner: "bob"}},
		{"by name, one's own", Viewer{User: "alice"}, EnvironmentQuery{Name: "debian", Owner: "alice", Version: 3}},
		{"by name, an administrator", Viewer{User: "root", Admin: true}, EnvironmentQuery{Name: "debian", Version: 3}},
	} {
		where, args := conditions(test.v, test.q)
		plan := planOf(t, s, "SELECT id FROM environments WHERE "+where, args)
		if containsScan(plan) {
			t.Errorf("%s: the plan is %q, which reads all", test.name, plan)
		}
	}
	if plan := planOf(t, s, "SELECT state FROM nodes WHERE name IN (SELECT value FROM json_each(?))", []any{"[]"}); containsScan(plan) {
		t.Errorf("states of nodes: the plan is %q", plan)
	}
}
