package api

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestMalformedRequests(t *testing.T) {
	r := newRig(t)
	env := `"environment":{"kind":"anonymous",` + description[1:]
	tests := []struct {
		name, verb, path, body string
		headers                []string
		status                 int
		code                   string // of the application
		text                   string // part of the answer
	}{
		{"no such path", "GET", "/nothing", "", nil, 404, "", "/nothing"},
		{"too many parts", "GET", "/deployment/a/b/c/d", "", nil, 404, "", ""},
		{"wrong verb", "POST", "/nodes", "{}", nil, 405, "", "Method Not Allowed"},
		{"rights cannot be put", "PUT", "/rights", "{}", nil, 405, "", ""},
		{"bad query", "GET", "/nodes?a=%zz", "", nil, 400, "", "query"},
		{"not JSON", "POST", "/deployment", "{", nil, 415, "", "not a map"},
		{"two values", "POST", "/deployment", "{} {}", nil, 415, "", "more follows"},
		{"a list", "POST", "/deployment", "[1]", nil, 415, "", "not a map"},
		{"a form", "POST", "/deployment", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "", "only application/json"},
		{"no type", "POST", "/deployment", "{}", []string{"Content-Type", ""}, 415, "", "Content-Type"},
		{"too big", "POST", "/deployment", strings.Repeat(" ", maxBody+1), nil, 413, "", ""},
		{"query too long", "GET", "/nodes?x=" + strings.Repeat("a", maxQuery), "", nil, 414, "", ""},
		{"nothing acceptable", "GET", "/nodes", "", []string{"Accept", "image/png"}, 406, "", "application/json"},
		{"refused JSON", "GET", "/nodes", "", []string{"Accept", "application/json;q=0"}, 406, "", ""},
		{"no nodes", "POST", "/deployment", `{` + env + `}`, nil, 400, "12", "Parameter 'nodes'"},
		{"unknown node", "POST", "/deployment", `{"nodes":"x",` + env + `}`, nil, 400, "2", "x"},
		{"nodes a map", "POST", "/deployment", `{"nodes":{"a":1},` + env + `}`, nil, 400, "4", "Parameter 'nodes': must be a list of strings"},
		{"no environment", "POST", "/deployment", `{"nodes":"node-1.lab"}`, nil, 400, "12", "environment"},
		{"environment a number", "POST", "/deployment", `{"nodes":"node-1.lab","environment":3}`, nil, 400, "4", "Parameter 'environment': must be a map"},
		{"unknown environment", "POST", "/deployment", `{"nodes":"node-1.lab","environment":{"name":"x"}}`, nil, 400, "7", "x"},
		{"bad description", "POST", "/deployment", `{"nodes":"node-1.lab","environment":{"kind":"anonymous","name":"x"}}`, nil, 400, "7", "Error[environment description]"},
		{"bad kind", "POST", "/deployment", `{"nodes":"node-1.lab","environment":{"kind":"x","name":"x"}}`, nil, 400, "4", "Parameter 'environment/kind'"},
		{"verbosity", "POST", "/deployment", `{"nodes":"node-1.lab","verbose_level":9,` + env + `}`, nil, 400, "4", "verbose_level"},
		{"verbosity a word", "POST", "/deployment", `{"nodes":"node-1.lab","verbose_level":"high",` + env + `}`, nil, 400, "4", "whole number"},
		{"breakpoint", "POST", "/deployment", `{"nodes":"node-1.lab","breakpoint":"a:b:c",` + env + `}`, nil, 400, "4", "breakpoint"},
		{"breakpoint elsewhere", "POST", "/deployment", `{"nodes":"node-1.lab","breakpoint":"BroadcastEnvKascade",` + env + `}`, nil, 400, "4", ""},
		{"custom operations", "POST", "/deployment", `{"nodes":"node-1.lab","custom_operations":{"BootNewEnv":{"frob":{}}},` + env + `}`, nil, 400, "8", "BootNewEnv/frob: there is no such micro-step"},
		{"vlan", "POST", "/deployment", `{"nodes":"node-1.lab","vlan":"4",` + env + `}`, nil, 400, "9", ""},
		{"time limit", "POST", "/deployment", `{"nodes":"node-1.lab","timeout_reboot_classical":"system('rm')",` + env + `}`, nil, 400, "4", "timeout_reboot_classical"},
		{"negative time limit", "POST", "/deployment", `{"nodes":"node-1.lab","timeout_reboot_kexec":"n-9",` + env + `}`, nil, 400, "4", "more than 0"},
		{"reserved variable", "POST", "/deployment", `{"nodes":"node-1.lab","custom_variables":{"ENV":"x"},` + env + `}`, nil, 400, "4", "reserved"},
		{"file system", "POST", "/deployment", `{"nodes":"node-1.lab","reformat_tmp_partition":"ntfs",` + env + `}`, nil, 400, "4", "ext4, xfs"},
		{"partition of another disk", "POST", "/deployment", `{"nodes":"node-1.lab","block_device":"disk1","deploy_partition":"disk0/PROD",` + env + `}`, nil, 400, "4", "not on disk1"},
		{"device", "POST", "/deployment", `{"nodes":"node-1.lab","block_device":"$(reboot)",` + env + `}`, nil, 400, "4", "block_device"},
		{"automaton of one", "POST", "/deployment", `{"nodes":"node-1.lab","automata":{"BroadcastEnv":[{"name":"BroadcastEnvDummy"}]},` + env + `}`, nil, 400, "4", "automata"},
		{"unknown instance", "POST", "/deployment", `{"nodes":"node-1.lab","automata":{"BroadcastEnv":[{"name":"X"}]},` + env + `}`, nil, 400, "4", "Parameter 'automata/BroadcastEnv'"},
		{"endless retries", "POST", "/deployment", `{"nodes":"node-1.lab","automata":{"BroadcastEnv":[{"name":"BroadcastEnvDummy","retries":1001}]},` + env + `}`, nil, 400, "4", "at most 1000"},
		{"a timeout beyond all time", "POST", "/deployment", `{"nodes":"node-1.lab","automata":{"BroadcastEnv":[{"name":"BroadcastEnvDummy","timeout":9300000000}]},` + env + `}`, nil, 400, "4", "a year"},
		{"unknown macro", "POST", "/deployment", `{"nodes":"node-1.lab","automata":{"X":[]},` + env + `}`, nil, 400, "4", "automata/X"},
		{"reboot kind", "POST", "/reboot", `{"nodes":"node-1.lab","kind":"x"}`, nil, 400, "4", "simple, set_pxe"},
		{"set_pxe without profile", "POST", "/reboot", `{"nodes":"node-1.lab","kind":"set_pxe"}`, nil, 400, "12", "-w"},
		{"recorded_env without partition", "POST", "/reboot", `{"nodes":"node-1.lab","kind":"recorded_env","environment":"debian"}`, nil, 400, "12", "-p"},
		{"power nothing", "PUT", "/power", `{"nodes":"node-1.lab"}`, nil, 400, "12", "status"},
		{"power level", "PUT", "/power", `{"nodes":"node-1.lab","status":"on","level":"gentle"}`, nil, 400, "4", "soft, hard, very_hard"},
		{"unknown workflow", "GET", "/deployment/D-1", "", nil, 400, "1", "D-1"},
		{"unknown workflow's logs", "GET", "/reboot/D-1/logs", "", nil, 400, "1", "D-1"},
		{"delete unknown workflow", "DELETE", "/deployment/D-1", "{}", nil, 405, "", "D-1"},
		{"unknown node's state", "GET", "/nodes/x", "", nil, 404, "", "x"},
		{"unknown environment's page", "GET", "/environments?name=x", "", nil, 404, "", "x"},
		{"change nothing", "PUT", "/environments/root/debian", `{"last":true}`, nil, 400, "12", "say what to change"},
		{"version a word", "GET", "/environments/root/debian/two", "", nil, 404, "", "VERSION"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := r.call("root", tt.verb, tt.path, tt.body, tt.headers...)
			body := w.Body.String()
			if w.Code != tt.status || w.Header().Get("X-Application-Error-Code") != tt.code || !strings.Contains(body, tt.text) {
				t.Errorf("%s %.80s = %d, code %q, %s", tt.verb, tt.path, w.Code, w.Header().Get("X-Application-Error-Code"), body)
			}
			if tt.code != "" {
				info, err := base64.StdEncoding.DecodeString(w.Header().Get("X-Application-Error-Info"))
				if err != nil || string(info)+"\n" != body {
					t.Errorf("info %q, body %q", info, body)
				}
			}
			if tt.status == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestLengthRequired(t *testing.T) {
	r := newRig(t)
	req := httptest.NewRequest("POST", "/deployment", io.MultiReader(strings.NewReader("{}")))
	req.ContentLength = -1
	req.Header.Set("X-Kadeploy-User", "root")
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	if w.Code != http.StatusLengthRequired {
		t.Errorf("chunked body = %d, want 411", w.Code)
	}
}

func TestAuthentication(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/version", "/auth_headers_prefix", "/info", "/clusters"} {
		if w := r.call("", "GET", path, ""); w.Code != 200 {
			t.Errorf("%s without a user = %d, want 200", path, w.Code)
		}
	}
	for _, path := range []string{"/nodes", "/environments", "/deployment", "/rights"} {
		w := r.call("", "GET", path, "")
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Basic realm="lab"` {
			t.Errorf("%s without a user = %d, %q", path, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	if w := r.call("bob", "GET", "/rights", ""); w.Code != 403 {
		t.Errorf("/rights of a user = %d, want 403", w.Code)
	}
}

func TestForms(t *testing.T) {
	r := newRig(t)
	if got := r.ok("", "GET", "/version", ""); got != "1.2.3\n" {
		t.Errorf("/version = %q", got)
	}
	want := []string{"node-1.lab", "node-2.lab", "node-10.lab"}
	var got []string
	for _, path := range []string{"/nodes?list", "/nodes/?list=false", "/nodes?list=true&user=x"} {
		w := r.call("root", "GET", path, "", "Accept", "application/json")
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s = %s (%v)", path, w.Body, err)
		}
	}
	w := r.call("root", "GET", "/nodes?nodes=node-1", "", "Accept", "application/x-yaml")
	if got := w.Body.String(); got != "---\nnode-1.lab: null\n" || w.Header().Get("Content-Type") != "application/x-yaml" {
		t.Errorf("YAML = %q", got)
	}
	w = r.call("root", "GET", "/clusters", "", "Accept-Encoding", "gzip;q=1.0,deflate;q=0.6,identity;q=0.3")
	zr, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(zr); err != nil || string(data) != "[\n  \"lab\"\n]\n" {
		t.Errorf("gzip = %q, %v", data, err)
	}
	w = r.call("root", "HEAD", "/clusters", "")
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD = %d, %d bytes, length %s", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

func TestYAMLKeepsStrings(t *testing.T) {
	in := map[string]any{"a": "true", "b": "12", "c": "x: y", "d": "", "e": "né\n2", "f": nil, "g": 3.0, "h": []string{}, "~": "~"}
	body, _, err := encode(in, formYAML)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": "true", "b": "12", "c": "x: y", "d": "", "e": "né\n2", "f": nil, "g": 3, "h": []any{}, "~": "~"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", body, diff)
	}
}

func TestYAMLBody(t *testing.T) {
	r := newRig(t)
	w := r.call("root", "POST", "/rights/", "username: bob\nnodes: [node-1]\npartitions: /dev/vda3\n", "Content-Type", "application/x-yaml")
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := "{\n  \"bob\": {\n    \"node-1.lab\": [\n      \"/dev/vda3\"\n    ]\n  }\n}\n"
	if got := r.ok("root", "GET", "/rights?", ""); got != want {
		t.Errorf("rights = %s", got)
	}
	if w := r.call("root", "DELETE", "/rights/bob", `{"nodes":["node-1.lab"],"partitions":["/dev/vda3"]}`); w.Code != 200 {
		t.Errorf("delete = %d %s", w.Code, w.Body)
	}
	if w := r.call("root", "GET", "/rights/bob", ""); w.Code != 404 {
		t.Errorf("no rights left = %d, want 404", w.Code)
	}
}

// finished waits for the end of a workflow and returns its page.
func (r *rig) finished(user, path string) map[string]any {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		var v map[string]any
		if err := json.Unmarshal([]byte(r.ok(user, "GET", path, "")), &v); err != nil {
			r.t.Fatal(err)
		}
		if v["done"] == true {
			return v
		}
		time.Sleep(20 * time.Millisecond) // the engine's dummy steps take real time
	}
	r.t.Fatalf("%s does not end", path)
	return nil
}

type created struct {
	WID       string         `json:"wid"`
	Resources map[string]any `json:"resources"`
}

func (r *rig) create(user, verb, path, body string) created {
	r.t.Helper()
	var c created
	if err := json.Unmarshal([]byte(r.ok(user, verb, path, body)), &c); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func TestDeployment(t *testing.T) {
	r := newRig(t)
	r.ok("root", "POST", "/environments/", `{"environment":`+description+`,"client":"http://h:1","last":true}`)
	c := r.create("root", "POST", "/deployment/", `{"environment":{"kind":"database","user":"root","name":"debian","version":"2"},
		"ssh_authorized_keys":"server:///keys","nodes":["node-[1-2].lab"],"debug":true,"hook":false}`)
	base := "/deployment/" + c.WID
	if !regexp.MustCompile(`^D-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(c.WID) {
		t.Errorf("wid = %q", c.WID)
	}
	want := map[string]any{
		"resource": base, "log": base + "/logs", "state": base + "/state", "status": base + "/status", "error": base + "/error", "debug": base + "/debugs",
		"logs":   map[string]any{"lab": base + "/logs/lab?user=root"},
		"debugs": map[string]any{"node-1.lab": base + "/debugs/node-1.lab?user=root", "node-2.lab": base + "/debugs/node-2.lab?user=root"},
	}
	if diff := cmp.Diff(want, c.Resources); diff != "" {
		t.Error(diff)
	}
	v := r.finished("root", base)
	if v["wid"] != c.WID || v["error"] != false || v["debugs"] != true || v["logs"] != true {
		t.Errorf("page = %v", v)
	}
	wantEnv := map[string]any{"id": 1.0, "user": "root", "name": "debian", "version": 2.0}
	if diff := cmp.Diff(wantEnv, v["environment"]); diff != "" {
		t.Error(diff)
	}
	wantNodes := map[string]any{"ok": []any{"node-1.lab", "node-2.lab"}, "ko": []any{}}
	if diff := cmp.Diff(wantNodes, v["nodes"]); diff != "" {
		t.Error(diff)
	}
	logs := r.ok("root", "GET", base+"/logs/lab", "")
	for line := range strings.Lines(logs) {
		if !regexp.MustCompile(`^\d{10}\.\d{5}\|.*\n$`).MatchString(line) {
			t.Errorf("log line %q", line)
		}
	}
	for _, text := range []string{"|Grab the key file server:///keys\n", "|Grab the tarball file server:///img.tgz\n", "|Grab the postinstall file server:///post.tgz\n", "|Launching a deployment on node-[1-2].lab\n"} {
		if !strings.Contains(logs, text) {
			t.Errorf("%q is not in the logs:\n%s", text, logs)
		}
	}
	if again := r.ok("root", "GET", base+"/logs", ""); again != "" {
		t.Errorf("lines are read twice: %s", again)
	}
	state := r.ok("root", "GET", base+"/state", "")
	var states map[string]map[string]any
	if err := json.Unmarshal([]byte(state), &states); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"macro": nil, "micro": nil, "state": "ok", "error": nil}, states["node-1.lab"]); diff != "" {
		t.Error(diff)
	}
	if got := r.ok("root", "GET", base+"/status", ""); got != "{}\n" {
		t.Errorf("status = %q", got)
	}
	if got := r.ok("root", "GET", base+"/error", ""); got != "" {
		t.Errorf("error = %q", got)
	}
	var spans []map[string]any
	if err := json.Unmarshal([]byte(r.ok("root", "GET", base+"/timeline", "")), &spans); err != nil || len(spans) < 6 {
		t.Errorf("timeline = %v, %v", spans, err)
	}
	w := r.call("root", "GET", base+"/events", "")
	if events := w.Body.String(); !strings.Contains(events, "event: live\nid: live-") || !strings.Contains(events, "event: done\nid: done-") {
		t.Errorf("events = %s", events)
	}
	// Who comes back with the last event that he has is not told it again.
	_, id, _ := strings.Cut(w.Body.String(), "event: live\nid: ")
	id, _, _ = strings.Cut(id, "\n")
	if events := r.call("root", "GET", base+"/events", "", "Last-Event-ID", id).Body.String(); strings.Contains(events, "event: live") || !strings.Contains(events, "event: done") {
		t.Errorf("events after %s = %s", id, events)
	}
	// Others see less.
	r.ok("root", "POST", "/rights", `{"username":"bob"}`)
	var theirs map[string]any
	if err := json.Unmarshal([]byte(r.ok("bob", "GET", base, "")), &theirs); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"node-1.lab", "node-2.lab"}, theirs["nodes"]); diff != "" || theirs["time"] != nil {
		t.Errorf("%v %s", theirs, diff)
	}
	for _, part := range []string{"/logs", "/state", "/error", "/live", "/timeline", "/story", "/status", "/debugs", "/events"} {
		if w := r.call("bob", "GET", base+part, ""); w.Code != 403 {
			t.Errorf("%s of another = %d, want 403", part, w.Code)
		}
	}
	if w := r.call("bob", "DELETE", base, "{}"); w.Code != 403 {
		t.Errorf("delete of another's = %d", w.Code)
	}
	r.ok("root", "DELETE", base, "{}")
	if w := r.call("root", "GET", base, ""); w.Code != 400 {
		t.Errorf("after its end = %d, want 400", w.Code)
	}
	node := r.ok("root", "GET", "/nodes/node-1", "")
	var info nodeView
	if err := json.Unmarshal([]byte(node), &info); err != nil || info.State != "deployed" || info.Environment == nil || info.Environment.Version != 2 {
		t.Errorf("node = %s", node)
	}
}

func TestFailureOfFetch(t *testing.T) {
	r := newRig(t)
	missing := strings.Replace(description, "img.tgz", "none.tgz", 1)
	c := r.create("root", "POST", "/deployment", `{"nodes":["node-1.lab"],"environment":{"kind":"anonymous",`+missing[1:]+`}`)
	v := r.finished("root", "/deployment/"+c.WID)
	if v["error"] != true || v["nodes"] != nil || v["logs"] != nil {
		t.Errorf("page = %v", v)
	}
	w := r.call("root", "GET", "/deployment/"+c.WID+"/error", "")
	if w.Code != 400 || w.Header().Get("X-Application-Error-Code") != "5" || !strings.Contains(w.Body.String(), "Image file not found!") {
		t.Errorf("error = %d %s", w.Code, w.Body)
	}
}

func TestCancel(t *testing.T) {
	r := newRig(t)
	c := r.create("root", "POST", "/deployment", `{"nodes":"node-1.lab","environment":{"kind":"anonymous",`+description[1:]+`}`)
	r.ok("root", "DELETE", "/deployment/"+c.WID, "{}")
	v := r.finished("root", "/deployment/"+c.WID)
	if diff := cmp.Diff(map[string]any{"ok": []any{}, "ko": []any{"node-1.lab"}}, v["nodes"]); diff != "" {
		t.Error(diff)
	}
}

func TestRightsOfDeployment(t *testing.T) {
	r := newRig(t)
	order := func(extra string) string {
		return `{"dry_run":true,"nodes":["node-1.lab"],` + extra + `"environment":{"kind":"anonymous",` + description[1:] + `}`
	}
	check := func(what, body, code string) {
		t.Helper()
		w := r.call("bob", "POST", "/deployment", body)
		if got := w.Header().Get("X-Application-Error-Code"); got != code || (w.Code == 200) != (code == "") {
			t.Errorf("%s: %d, code %q, want %q: %s", what, w.Code, got, code, w.Body)
		}
	}
	check("no right", order(""), "6")
	r.ok("root", "POST", "/rights", `{"username":"bob","nodes":["node-1.lab"],"partitions":["/dev/vda3","disk0/TMP"]}`)
	check("the deploy partition", order(""), "")
	check("the label", order(`"deploy_partition":"TMP",`), "")
	check("another partition", order(`"deploy_partition":"2",`), "6")
	check("another label", order(`"deploy_part":"PROD",`), "6")
	check("another disk", order(`"block_device":"/dev/vdb","deploy_partition":"3",`), "6")
	check("another node", strings.Replace(order(""), "node-1", "node-2", 1), "6")
}

func TestPartitionNames(t *testing.T) {
	for _, tt := range [][3]string{{"/dev/sda", "3", "/dev/sda3"}, {"/dev/nvme0n1", "3", "/dev/nvme0n1p3"}, {"disk0", "3", "disk0p3"}} {
		if got := partitionOf(tt[0], tt[1]); got != tt[2] {
			t.Errorf("partitionOf(%q, %q) = %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestEnvironments(t *testing.T) {
	r := newRig(t)
	names := func(user, path string) (out []string) {
		t.Helper()
		var all []environmentView
		if err := json.Unmarshal([]byte(r.ok(user, "GET", path, "")), &all); err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			out = append(out, e.User+"/"+e.Name)
		}
		return out
	}
	odd := strings.Replace(description, `"debian"`, `"a b+c/ü%d"`, 1)
	r.ok("bob", "POST", "/environments", `{"environment":`+odd+`}`)
	r.ok("bob", "POST", "/environments", `{"environment":`+description+`}`)
	if w := r.call("bob", "POST", "/environments", `{"environment":`+description+`}`); w.Header().Get("X-Application-Error-Code") != "10" {
		t.Errorf("added twice = %d %s", w.Code, w.Body)
	}
	if got := names("bob", "/environments?last"); len(got) != 2 {
		t.Errorf("list = %v", got)
	}
	if got := names("eve", "/environments"); len(got) != 0 {
		t.Errorf("list of another = %v", got)
	}
	r.ok("bob", "PUT", "/environments/bob/debian", `{"visibility":"shared","last":true}`)
	if w := r.call("bob", "PUT", "/environments/bob/debian", `{"visibility":"shared","last":true}`); w.Header().Get("X-Application-Error-Code") != "14" {
		t.Errorf("changed to the same = %d %s", w.Code, w.Body)
	}
	if got := names("eve", "/environments?username=bob"); !cmp.Equal(got, []string{"bob/debian"}) {
		t.Errorf("shared = %v", got)
	}
	if w := r.call("eve", "DELETE", "/environments/bob/debian", `{"last":true}`); w.Code != 403 {
		t.Errorf("delete another's = %d %s", w.Code, w.Body)
	}
	if w := r.call("bob", "PUT", "/environments/bob/debian/2", `{"update_image_checksum":true}`); w.Header().Get("X-Application-Error-Code") != "14" {
		t.Errorf("same checksum = %d %s", w.Code, w.Body)
	}
	if err := os.WriteFile(filepath.Join(r.files, "img.tgz"), []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.ok("bob", "PUT", "/environments/bob/debian/2", `{"update_image_checksum":true}`)
	if w := r.call("bob", "PUT", "/environments", `{"update_files":{"server:///":"server:///new/"}}`); w.Code != 403 {
		t.Errorf("files moved by a user = %d", w.Code)
	}
	moved := r.ok("root", "PUT", "/environments", `{"update_files":{"server:///":"server:///new/"}}`)
	if strings.Count(moved, "server:///new/img.tgz") != 2 || strings.Count(moved, "server:///new/post.tgz") != 2 {
		t.Errorf("moved = %s", moved)
	}
	r.ok("bob", "DELETE", "/environments/bob/a+b%2Bc%2F%C3%BC%25d/2", "{}")
	if got := names("bob", "/environments"); !cmp.Equal(got, []string{"bob/debian"}) {
		t.Errorf("after the deletion = %v", got)
	}
}

func TestPanicIsKeptFromUsers(t *testing.T) {
	r := newRig(t)
	cfg := r.config
	cfg.Nodes = nodes{} // a nil store: using it panics
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.handler = h
	w := r.call("root", "GET", "/nodes", "")
	if w.Code != 500 || strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("panic = %d %s", w.Code, w.Body)
	}
}

func TestClosing(t *testing.T) {
	r := newRig(t)
	close(r.closing)
	if w := r.call("root", "GET", "/version", ""); w.Code != 503 {
		t.Errorf("while stopping = %d, want 503", w.Code)
	}
}
