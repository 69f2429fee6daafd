package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/store"
	"kadeploy/coordinator/internal/workflow"
)

// memory is the rig's journal; the agents of some nodes are still there.
type memory struct {
	*store.Journal
	standing []string
	asked    map[string]time.Time
}

func (m *memory) Standing(_ context.Context, _ string, before map[string]time.Time) ([]string, error) {
	m.asked = before
	return slices.DeleteFunc(slices.Clone(m.standing), func(n string) bool { return before[n].IsZero() }), nil
}

func resumeRig(t *testing.T) (*rig, *memory) {
	t.Helper()
	r := newRig(t)
	past := &memory{Journal: r.db.Journal()}
	r.config.Past = past
	var err error
	if r.handler, err = New(r.config); err != nil {
		t.Fatal(err)
	}
	r.ok("root", "POST", "/environments", `{"environment":`+strings.Replace(description, `"name"`, `"visibility":"public","name"`, 1)+`}`)
	r.ok("root", "POST", "/rights", `{"username":"alice","nodes":["node-1.lab","node-2.lab","node-10.lab"],"partitions":["disk0/DEPLOY"]}`)
	return r, past
}

func TestResume(t *testing.T) {
	r, past := resumeRig(t)
	r.faults.nodes = map[string]string{"node-1.lab": "BroadcastEnv", "node-2.lab": "BootNewEnv"}
	first := start(r, "alice", `["node-1.lab","node-2.lab","node-10.lab"],"breakpoint":"BootNewEnv:check_nodes","custom_variables":{"A":"b"},"ssh_authorized_keys":"server:///keys"`)
	end(r, "alice", first)
	order := func(id, more string) string { return `{"resume":"` + id + `"` + more + `}` }

	past.standing = []string{"node-1.lab", "node-2.lab"}
	var p workflow.Preview
	if err := json.Unmarshal([]byte(r.ok("alice", "POST", "/deployment", order(first, `,"dry_run":true,"plan":true`))), &p); err != nil {
		t.Fatal(err)
	}
	c := p.Clusters[0]
	if p.Resumes != first || !slices.Equal(c.Nodes, []string{"node-1.lab", "node-2.lab"}) || !slices.Equal(c.Ready, []string{"node-1.lab"}) || len(c.Macros) != 3 ||
		!slices.Equal(p.Files, []string{"server:///img.tgz", "server:///post.tgz", "server:///keys"}) {
		t.Errorf("plan %+v", p)
	}
	if asked := slices.Sorted(maps.Keys(past.asked)); !slices.Equal(asked, []string{"node-1.lab"}) {
		t.Errorf("asked for the agents of %v: only a node that failed in BroadcastEnv is prepared", asked)
	}
	p = workflow.Preview{}
	if err := json.Unmarshal([]byte(r.ok("alice", "POST", "/deployment", order(first, `,"nodes":"node-1","dry_run":true,"plan":true`))), &p); err != nil {
		t.Fatal(err)
	}
	if c := p.Clusters[0]; len(c.Nodes) != 1 || c.Macros[0].Name != "BroadcastEnv" {
		t.Errorf("plan of a node that is ready: %+v", c)
	}

	for _, test := range []struct{ user, order, code, want string }{
		{"alice", order("D-0", ""), "1", "no deployment"},
		{"alice", order(first, `,"nodes":["node-10"]`), "2", "node-10.lab did not fail"},
		{"alice", order(first, `,"vlan":"3"`), "13", "taken over"},
		{"alice", order(first, `,"verbose_level":9`), "4", "verbose_level"},
		{"bob", order(first, ""), "", "belongs to user alice"},
	} {
		w := r.call(test.user, "POST", "/deployment", test.order)
		if w.Code < 400 || w.Header().Get("X-Application-Error-Code") != test.code || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s by %s: %d %s %s, want %s and %q", test.order, test.user, w.Code, w.Header().Get("X-Application-Error-Code"), w.Body, test.code, test.want)
		}
	}

	r.faults.nodes = map[string]string{"node-1.lab": "SetDeploymentEnv"} // where it does not come
	var op struct{ WID string }
	if err := json.Unmarshal([]byte(r.ok("root", "POST", "/deployment", order(first, ""))), &op); err != nil {
		t.Fatal(err)
	}
	if w := r.call("root", "POST", "/deployment", order(op.WID, "")); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "not over yet") {
		t.Errorf("one that runs is resumed: %d %s", w.Code, w.Body)
	}
	for node, st := range end(r, "root", op.WID) {
		if st.State != "ok" {
			t.Errorf("%s: %+v", node, st)
		}
	}
	second, _, err := past.Find(t.Context(), op.WID)
	if err != nil {
		t.Fatal(err)
	}
	req := second.Request
	if req.Resumes != first || req.User != "root" || req.Variables["A"] != "b" || req.Breakpoint == "" || string(req.Keys) != "ssh-ed25519 AAAA me\n" || !slices.Equal(req.Ready, []string{"node-1.lab"}) {
		t.Errorf("resumed as %+v", req)
	}
	if w := r.call("root", "POST", "/deployment", order(op.WID, "")); w.Header().Get("X-Application-Error-Code") != "14" || !strings.Contains(w.Body.String(), "no node of "+op.WID+" failed") {
		t.Errorf("nothing failed: %d %s", w.Code, w.Body)
	}
}

func TestResumeChecksRightsAndFilesAnew(t *testing.T) {
	r, _ := resumeRig(t)
	r.faults.nodes = map[string]string{"node-1.lab": "BroadcastEnv"}
	lent := start(r, "alice", `["node-1.lab"],"ssh_authorized_keys":"/home/alice/keys","client":"http://127.0.0.1:1"`)
	end(r, "alice", lent)
	if w := r.call("alice", "POST", "/deployment", `{"resume":"`+lent+`"}`); w.Header().Get("X-Application-Error-Code") != "3" || !strings.Contains(w.Body.String(), "/home/alice/keys") {
		t.Errorf("a file that nobody lends: %d %s", w.Code, w.Body)
	}
	r.ok("root", "DELETE", "/rights/alice", `{"nodes":["node-1.lab"],"partitions":["disk0/DEPLOY"]}`)
	if w := r.call("alice", "POST", "/deployment", `{"resume":"`+lent+`","client":"http://127.0.0.1:1"}`); w.Header().Get("X-Application-Error-Code") != "6" {
		t.Errorf("without rights: %d %s", w.Code, w.Body)
	}
}
