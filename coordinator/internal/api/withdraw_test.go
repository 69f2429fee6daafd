package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

const deployment = `"environment":{"kind":"database","name":"debian","user":"root"}`

func start(r *rig, user, nodes string) string {
	r.t.Helper()
	var op struct{ WID string }
	body := r.ok(user, "POST", "/deployment/", `{"nodes":`+nodes+`,`+deployment+`}`)
	if err := json.Unmarshal([]byte(body), &op); err != nil || op.WID == "" {
		r.t.Fatal(body, err)
	}
	return op.WID
}

// end waits for the end of a deployment and returns the nodes' states.
func end(r *rig, user, wid string) map[string]nodeState {
	r.t.Helper()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		var v struct{ Done bool }
		if err := json.Unmarshal([]byte(r.ok(user, "GET", "/deployment/"+wid, "")), &v); err != nil {
			r.t.Fatal(err)
		}
		if v.Done {
			states := make(map[string]nodeState)
			if err := json.Unmarshal([]byte(r.ok(user, "GET", "/deployment/"+wid+"/state", "")), &states); err != nil {
				r.t.Fatal(err)
			}
			return states
		}
	}
	r.t.Fatalf("%s does not end", wid)
	return nil
}

func TestWithdrawnRightsEndWhatRuns(t *testing.T) {
	r := newRig(t)
	r.ok("root", "POST", "/environments", `{"environment":`+strings.Replace(description, `"name"`, `"visibility":"public","name"`, 1)+`}`)
	r.ok("root", "POST", "/rights", `{"username":"alice","nodes":["node-1.lab","node-2.lab"],"partitions":["disk0/DEPLOY"]}`)
	r.ok("root", "POST", "/rights", `{"username":"bob","nodes":["node-10.lab"],"partitions":["/dev/vda3","/dev/vda2"]}`)

	both, one, bobs := start(r, "alice", `["node-1.lab","node-2.lab"]`), "", start(r, "bob", `["node-10.lab"]`)
	r.ok("root", "DELETE", "/rights/alice", `{"nodes":["node-2.lab"],"partitions":["disk0/DEPLOY"]}`)
	// One of bob's two partitions: a right on the node is left.
	r.ok("root", "DELETE", "/rights/bob", `{"nodes":["node-10.lab"],"partitions":["/dev/vda2"]}`)
	for node, st := range end(r, "alice", both) {
		if st.State != "aborted" || st.Error == nil || !strings.Contains(*st.Error, "rights") {
			t.Errorf("%s of a user without rights: %+v", node, st)
		}
	}
	if st := end(r, "bob", bobs)["node-10.lab"]; st.State != "ok" {
		t.Errorf("bob's node, on which he has a right left: %+v", st)
	}

	one = start(r, "alice", `"node-1.lab"`)
	r.ok("root", "POST", "/rights", `{"username":"bob","nodes":"node-1.lab","overwrite":true}`)
	if st := end(r, "alice", one)["node-1.lab"]; st.State != "aborted" {
		t.Errorf("the node of a user whose rights were overwritten: %+v", st)
	}
	if w := r.call("alice", "POST", "/deployment", `{"nodes":"node-1.lab",`+deployment+`}`); w.Code != 400 || w.Header().Get("X-Application-Error-Code") != "6" {
		t.Errorf("alice without rights = %d %s", w.Code, w.Body)
	}
}

func TestClientsMustExportSecurelyWhereTheSiteSaysSo(t *testing.T) {
	r := newRig(t)
	r.config.SecureClients = true
	handler, err := New(r.config)
	if err != nil {
		t.Fatal(err)
	}
	r.handler = handler
	for client, code := range map[string]string{"http://h:1": "3", "ftp://h": "3", "x": "3", "https://h:1": "", "lent:12": ""} {
		w := r.call("root", "POST", "/environments", `{"dry_run":true,"client":"`+client+`","environment":`+description+`}`)
		if got := w.Header().Get("X-Application-Error-Code"); got != code || code == "" && w.Code != http.StatusOK {
			t.Errorf("%s: %d, code %q, want %q: %s", client, w.Code, got, code, w.Body)
		}
	}
}
