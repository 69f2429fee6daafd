package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kadeploy/coordinator/internal/client"
)

// What the original's tests did with its commands against a server, here with
// requests against the whole coordinator. What only a machine can show (which
// image boots, what a postinstall left, keys, boot loaders, kexec) is for the lab.
func TestBlackBox(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := newSite(t)
	for _, part := range []struct {
		name string
		do   func(t *testing.T, s *site)
	}{
		{"environments", environments}, {"deployments", deployments}, {"rights", rightsOfUsers}, {"files", filesOfClients},
		{"reboots", reboots}, {"boot profiles", bootProfiles}, {"power", powers}, {"nodes and statistics", nodesAndStatistics}, {"consoles", consolesOfNodes},
		{"authentication", authentication}, {"certificates and ident", proofs}, {"recorded clients", recordedClients},
		{"malformed requests", malformed}, {"clients that disappear", disappearing}, {"200 clients", crowd}, {"metrics", scraped},
	} {
		t.Run(part.name, func(t *testing.T) {
			of := *s
			of.t = t
			part.do(t, &of)
		})
	}
	s.stop()
	goleak.VerifyNone(t, before)
}

func environments(t *testing.T, s *site) {
	type environment struct {
		Name, User, Visibility string
		Version                int
		Destructive            bool
	}
	var e environment
	s.ok("", "POST", "/environments/", `{"environment":{`+s.environment("debian", `,"version":3,"visibility":"public"`)+`}}`, &e)
	want := environment{"debian", "root", "public", 3, false}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
	for _, more := range []string{`,"version":1,"visibility":"shared"`, `,"version":2,"visibility":"private"`} {
		s.ok("", "POST", "/environments", `{"environment":{`+s.environment("debian", more)+`}}`, nil)
	}
	if a := s.ask("", "POST", "/environments", `{"environment":{`+s.environment("debian", `,"version":3`)+`}}`); a.code() != "10" {
		t.Errorf("the same version again = %d %s", a.status, a.body)
	}
	if a := s.ask("alice", "POST", "/environments", `{"environment":{`+s.environment("hers", `,"visibility":"public"`)+`}}`); a.status != 403 {
		t.Errorf("a public environment of a user = %d %s", a.status, a.body)
	}
	for query, want := range map[string][]int{"": {3}, "&username=root": {3, 1}, "&username=root&version=1": {1}} {
		var list []environment
		s.ok("alice", "GET", "/environments?name=debian"+query, "", &list)
		var got []int
		for _, e := range list {
			got = append(got, e.Version)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("alice sees with %q: %s", query, diff)
		}
	}
	odd := `déjà "vu", a|b #1 _%`
	path := "/environments/alice/" + url.QueryEscape(odd)
	s.ok("alice", "POST", "/environments", `{"environment":{`+s.environment(odd, "")+`}}`, nil)
	s.ok("alice", "PUT", path, `{"toggle_destructive":true,"last":true}`, &e)
	s.ok("alice", "PUT", path, `{"visibility":"shared","last":true}`, &e)
	if want := (environment{odd, "alice", "shared", 1, true}); e != want {
		t.Errorf("changed to %+v", e)
	}
	for body, code := range map[string]string{`{"visibility":"shared","last":true}`: "14", `{"update_image_checksum":true,"last":true}`: "14", `{"visibility":"shared"}`: "12"} {
		if a := s.ask("alice", "PUT", path, body); a.code() != code {
			t.Errorf("%s = %d %s, want code %s", body, a.status, a.body, code)
		}
	}
	if a := s.ask("carol", "DELETE", path, `{"last":true}`); a.status != 403 {
		t.Errorf("another's environment is deleted: %d %s", a.status, a.body)
	}
	s.ok("alice", "DELETE", path, `{"last":true}`, nil)
	if a := s.ask("alice", "GET", path, ""); a.status != 404 {
		t.Errorf("deleted = %d", a.status)
	}
}

func deployments(t *testing.T, s *site) {
	s.ok("", "POST", "/rights", `{"username":"alice","nodes":["node-1.lab","node-2.lab"]}`, nil)
	for _, user := range []string{"", "alice"} {
		op, e := s.order(user, "POST", "/deployment/", `{"verbose_level":5,"hook":true,"debug":true,"nodes":["node-[1-2].lab"],"environment":{"kind":"database","user":"root","name":"debian","version":"3"}}`)
		if diff := cmp.Diff([]string{"node-1.lab", "node-2.lab"}, e.Nodes.OK); diff != "" || e.Error || len(e.Nodes.KO) > 0 {
			t.Errorf("%q: %+v", user, e)
		}
		for _, line := range []string{"Launching a deployment", "Performing a Deploy[SetDeploymentEnvDummy] step", "Grab the tarball file", "End of deployment"} {
			if !strings.Contains(e.text, line) {
				t.Errorf("%q: %q is not in\n%s", user, line, e.text)
			}
		}
		for limit := time.Now().Add(5 * time.Second); !slices.Contains(s.notes("hook"), "hook "+op.WID); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("the hook did not run for %s: %q", op.WID, s.notes("hook"))
			}
		}
		s.ok(user, "DELETE", op.Resources.Resource, "{}", nil)
		if a := s.ask(user, "GET", op.Resources.Resource, ""); a.code() != "1" {
			t.Errorf("deleted = %d %s", a.status, a.body)
		}
	}
	anonymous := `"environment":{"kind":"anonymous",` + s.environment("mine", "") + `}`
	_, e := s.order("alice", "POST", "/deployment", `{"nodes":"node-1","breakpoint":"BroadcastEnv",`+anonymous+`}`)
	if st := e.states["node-1.lab"]; *st.State != "brk" || len(e.Nodes.OK) != 1 {
		t.Errorf("breakpoint: %+v", e)
	}
	auto := `"automata":{"SetDeploymentEnv":[{"name":"SetDeploymentMiniOSDummy","retries":0,"timeout":900}],"BroadcastEnv":[{"name":"BroadcastEnvDummy"}],"BootNewEnv":[{"name":"BootNewEnvDummy"},{"name":"BootNewEnvDummy"}]}`
	if _, e = s.order("alice", "POST", "/deployment", `{"nodes":"node-1",`+auto+`,`+anonymous+`}`); len(e.Nodes.OK) != 1 {
		t.Errorf("forced steps: %+v", e)
	}
	// A user's operation is really asked of the node, where no agent answers.
	ops := `"custom_operations":{"SetDeploymentMiniOS":{"dummy":{"substitute":[{"action":"exec","name":"hello","command":"true","timeout":1}]}}}`
	_, e = s.order("alice", "POST", "/deployment", `{"nodes":"node-1",`+ops+`,`+anonymous+`}`)
	if st := e.states["node-1.lab"]; *st.State != "ko" || !strings.HasPrefix(*st.Error, "SetDeploymentEnvDummy-dummy-hello: ") {
		t.Errorf("custom operation: %+v", e)
	}
	// One is cancelled; two do not share a node.
	var op started
	s.ok("alice", "POST", "/deployment", `{"nodes":"node-1",`+anonymous+`}`, &op)
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var node struct{ State string }
		if s.ok("alice", "GET", "/nodes/node-1.lab", "", &node); node.State == "deploying" {
			break
		}
		if time.Now().After(limit) { // it has to have the node before the other one asks for it
			t.Fatal("the deployment does not begin")
		}
	}
	busy, be := s.order("", "POST", "/deployment", `{"nodes":"node-1",`+anonymous+`}`)
	if a := s.ask("", "GET", busy.Resources.Error, ""); !be.Error || a.code() != "14" || !strings.Contains(a.body, "already involved") {
		t.Errorf("a busy node: %+v, %s", be, a.body)
	}
	s.ok("alice", "DELETE", op.Resources.Resource, "{}", nil)
	if e := s.wait("alice", op); *e.states["node-1.lab"].State != "aborted" {
		t.Errorf("cancelled: %+v", e)
	}
}

func rightsOfUsers(t *testing.T, s *site) {
	anonymous := `"environment":{"kind":"anonymous",` + s.environment("mine", "") + `}`
	for nodes, code := range map[string]string{"node-1": "", "node-3": "6", "node-[1-3]": "6"} {
		if a := s.ask("alice", "POST", "/deployment", `{"dry_run":true,"nodes":"`+nodes+`",`+anonymous+`}`); a.code() != code {
			t.Errorf("alice on %s = %d %s", nodes, a.status, a.body)
		}
	}
	s.ok("", "POST", "/rights", `{"username":"dora","nodes":"node-4.lab","partitions":["disk0/TMP"]}`, nil)
	for part, code := range map[string]string{`"deploy_partition":"TMP",`: "", `"deploy_partition":"5",`: "", `"deploy_part":"PROD",`: "6", "": "6"} {
		if a := s.ask("dora", "POST", "/deployment", `{"dry_run":true,"nodes":"node-4",`+part+anonymous+`}`); a.code() != code {
			t.Errorf("dora with %s = %d %s, want code %q", part, a.status, a.body, code)
		}
	}
	for _, c := range []struct{ user, verb, path, body, code string }{
		{"", "POST", "/rights", `{"username":"dora","nodes":"node-4.lab","partitions":["disk0/TMP"]}`, "14"},
		{"", "POST", "/rights", `{"username":"erik","nodes":"node-4.lab"}`, "11"},
		{"", "DELETE", "/rights/nobody", `{"nodes":"node-4.lab"}`, "14"},
	} {
		if a := s.ask(c.user, c.verb, c.path, c.body); a.code() != c.code {
			t.Errorf("%s %s %s = %d %s, want code %s", c.verb, c.path, c.body, a.status, a.body, c.code)
		}
	}
	if a := s.ask("alice", "GET", "/rights", ""); a.status != 403 {
		t.Errorf("rights for a user = %d", a.status)
	}
	if a := s.ask("", "PUT", "/rights", `{}`); a.status != 405 || a.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT /rights = %d %q", a.status, a.header.Get("Allow"))
	}
	var op started
	s.ok("dora", "POST", "/deployment", `{"nodes":"node-4","deploy_partition":"TMP",`+anonymous+`}`, &op)
	s.ok("", "POST", "/rights", `{"username":"erik","nodes":"node-4.lab","overwrite":true}`, nil)
	if e := s.wait("dora", op); *e.states["node-4.lab"].State != "aborted" {
		t.Errorf("a deployment without rights: %+v", e)
	}
}

// filesOfClients deploys images that are on the client's host, over both ways, and server:// ones.
func filesOfClients(t *testing.T, s *site) {
	file := filepath.Join(t.TempDir(), "an image.tgz")
	if err := os.WriteFile(file, []byte("from home"), 0o600); err != nil {
		t.Fatal(err)
	}
	describe := func(uri string) string {
		return strings.Replace(`"environment":{"kind":"anonymous",`+s.environment("mine", "")+`}`, "server://"+s.dir+"/images/image.tgz", uri, 1)
	}
	host, port, _ := net.SplitHostPort(s.api)
	number := 0
	fmt.Sscan(port, &number)
	for name, c := range map[string]struct {
		user   string
		server client.Server
		secure bool
	}{
		"socket": {"", client.Server{Socket: s.socket}, false},
		"http":   {"alice", client.Server{Hostname: host, Port: number, Secure: true}, false},
		"https":  {"alice", client.Server{Hostname: host, Port: number, Secure: true}, true},
	} {
		cl := client.New(c.server, client.Options{User: "alice"})
		export, err := cl.Export(t.Context(), []string{file}, c.secure)
		if err != nil {
			t.Fatal(err)
		}
		if _, e := s.order(c.user, "POST", "/deployment", `{"nodes":"node-1","client":"`+export.Base()+`",`+describe("local://"+file)+`}`); len(e.Nodes.OK) != 1 {
			t.Errorf("%s: %+v", name, e)
		}
		// Another user, or over another way: the loan is not his.
		if name == "socket" {
			op, e := s.order("alice", "POST", "/deployment", `{"nodes":"node-1","client":"`+export.Base()+`",`+describe(file)+`}`)
			if a := s.ask("alice", "GET", op.Resources.Error, ""); !e.Error || a.code() != "3" {
				t.Errorf("another's loan: %+v %s", e, a.body)
			}
		}
		if err := export.Close(); err != nil {
			t.Error(err)
		}
		cl.Close()
	}
	for _, c := range []struct{ user, uri, code string }{
		{"alice", "server://" + s.dir + "/secret", "5"}, // root could read it: alice is not root
		{"", "server://" + s.dir + "/secret", ""},
		{"alice", "server://" + s.dir + "/images/none", "5"},
		{"alice", file, "3"}, // no client serves it
		{"alice", "ftp://h/x", "5"},
	} {
		op, e := s.order(c.user, "POST", "/deployment", `{"nodes":"node-1",`+describe(c.uri)+`}`)
		if a := s.ask(c.user, "GET", op.Resources.Error, ""); a.code() != c.code || e.Error != (c.code != "") {
			t.Errorf("%s as %q = %s, want code %q", c.uri, c.user, a.body, c.code)
		}
	}
}

// sshd answers like a node's ssh, at an address.
func sshd(t *testing.T, s *site, address string) {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(address, s.ssh))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
}

func reboots(t *testing.T, s *site) {
	sshd(t, s, "127.0.2.1")
	sshd(t, s, "127.0.0.1") // of the node "local", in the VLAN only
	if _, e := s.order("alice", "POST", "/reboot/", `{"kind":"simple","level":"soft","nodes":["node-1.lab"]}`); len(e.Nodes.OK) != 1 || !slices.Contains(s.notes("reboot"), "reboot node-1.lab") {
		t.Errorf("%+v, commands %q", e, s.notes("reboot"))
	}
	_, e := s.order("", "POST", "/reboot", `{"kind":"simple","vlan":"host","nodes":["local"]}`)
	if diff := cmp.Diff([]string{"vlan -m local host root"}, s.notes("vlan")); diff != "" || len(e.Nodes.OK) != 1 {
		t.Errorf("reboot into a VLAN: %+v %s", e, diff)
	}
	for body, code := range map[string]string{
		`{"nodes":"local","vlan":"none"}`: "9", `{"nodes":"local","vlan":"a;b"}`: "9",
		`{"nodes":"node-1","kind":"set_pxe"}`: "12", `{"nodes":"node-1","ssh_authorized_keys":"/k"}`: "13",
		`{"nodes":"none"}`: "2", `{"nodes":"node-1","level":"gentle"}`: "4",
	} {
		if a := s.ask("", "POST", "/reboot", body); a.code() != code {
			t.Errorf("%s = %d %s, want code %s", body, a.status, a.body, code)
		}
	}
	_, e = s.order("", "POST", "/reboot", `{"kind":"simple","timeout_reboot_classical":"n","nodes":["node-2.lab"]}`)
	if st := e.states["node-2.lab"]; *st.State != "ko" || !strings.Contains(*st.Error, "not reachable after the reboot") {
		t.Errorf("a node that does not come back: %+v", e)
	}
}

func powers(t *testing.T, s *site) {
	for _, c := range []struct{ verb, path, body, note string }{
		{"PUT", "/power/", `{"status":"on","nodes":["node-1.lab"]}`, "on node-1.lab"},
		{"PUT", "/power", `{"status":"off","nodes":["node-1.lab"]}`, "off node-1.lab"}, // soft fails, hard does it
		{"GET", "/power?nodes=node-1.lab", "", ""},
	} {
		op, e := s.order("alice", c.verb, c.path, c.body)
		if len(e.Nodes.OK) != 1 || !strings.HasPrefix(op.WID, "P-") {
			t.Errorf("%s %s: %+v", c.verb, c.path, e)
		}
		if c.note != "" && !slices.Contains(s.notes(strings.Fields(c.note)[0]), c.note) {
			t.Errorf("%s was not run", c.note)
		}
		if c.verb == "GET" && !strings.Contains(e.text, "---\nnode-1.lab: power is on\n---\n") {
			t.Errorf("status: %q", e.text)
		}
	}
}

func nodesAndStatistics(t *testing.T, s *site) {
	var states map[string]*struct{ State, User string }
	s.ok("alice", "GET", "/nodes?nodes=node-1.lab&nodes=node-20.lab", "", &states)
	if n := states["node-1.lab"]; n == nil || n.State != "powered" || n.User != "alice" || states["node-20.lab"] != nil || len(states) != 2 {
		t.Errorf("nodes = %+v", states)
	}
	var names []string
	if s.ok("alice", "GET", "/nodes?user=alice&list=true", "", &names); len(names) != 21 || names[1] != "node-1.lab" && names[0] != "node-1.lab" {
		t.Errorf("names = %v", names)
	}
	var op started
	s.ok("", "POST", "/deployment", `{"nodes":"node-7","environment":"debian"}`, &op)
	var running []struct{ WID, User string }
	s.ok("alice", "GET", "/deployment?", "", &running)
	if !slices.ContainsFunc(running, func(v struct{ WID, User string }) bool { return v.WID == op.WID && v.User == "root" }) {
		t.Errorf("%s is not among %v", op.WID, running)
	}
	s.wait("", op)
	a := s.ask("alice", "GET", "/stats/deploy?kind=all&nodes=node-7.lab&fields=wid&fields=user&fields=success", "")
	if want := op.WID + ",root,true\n"; a.body != want || !strings.HasPrefix(a.header.Get("Content-Type"), "text/csv") {
		t.Errorf("stats = %q of %s, want %q", a.body, a.header, want)
	}
	var rates map[string]float64
	if s.ok("alice", "GET", "/stats?kind=failure_rates&nodes=node-7.lab", "", &rates); rates["node-7.lab"] != 0 || len(rates) != 1 {
		t.Errorf("rates = %v", rates)
	}
}

func consolesOfNodes(t *testing.T, s *site) {
	for _, user := range []string{"", "alice"} {
		var op started
		s.ok(user, "POST", "/console/", `{"node":"node-1"}`, &op)
		conn, err := net.Dial("tcp", strings.TrimPrefix(op.Resources.Console, "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		hello := make([]byte, len("console of node-1\r\n"))
		if _, err := io.ReadFull(conn, hello); err != nil || string(hello) != "console of node-1\r\n" {
			t.Errorf("%q, %v", hello, err)
		}
		if a := s.ask("", "POST", "/console", `{"node":"node-1.lab"}`); a.code() != "11" {
			t.Errorf("a second console = %d %s", a.status, a.body)
		}
		var list []struct {
			ID, Node string
			Attached bool
		}
		if s.ok(user, "GET", "/console", "", &list); len(list) != 1 || list[0].ID != op.WID || !list[0].Attached {
			t.Errorf("list = %+v", list)
		}
		if user == "" {
			s.ok(user, "DELETE", op.Resources.Resource, "{}", nil)
			if a := s.ask(user, "GET", op.Resources.Resource, ""); a.code() != "1" {
				t.Errorf("ended = %d %s", a.status, a.body)
			}
		} else {
			s.ok("", "DELETE", "/rights/alice", `{"nodes":["node-1.lab","node-2.lab"]}`, nil)
			s.ok("", "POST", "/rights", `{"username":"alice","nodes":["node-1.lab","node-2.lab"]}`, nil)
		}
		rest, _ := io.ReadAll(conn)
		if killed := strings.Contains(string(rest), "[Kaconsole] client killed"); killed != (user != "") {
			t.Errorf("%q reads at the end %q", user, rest)
		}
		conn.Close()
	}
	if a := s.ask("alice", "POST", "/console", `{"node":"node-9"}`); a.code() != "6" {
		t.Errorf("no right = %d %s", a.status, a.body)
	}
}

func authentication(t *testing.T, s *site) {
	for _, c := range []struct {
		name   string
		from   string
		user   string
		basic  string
		status int
	}{
		{"trusted host", "127.0.0.1", "alice", "", 200},
		{"trusted host, nobody", "127.0.0.1", "", "", 401},
		{"other host", "127.0.0.9", "alice", "", 401},
		{"password", "127.0.0.9", "", "bob:" + bobsPassword, 200},
		{"wrong password", "127.0.0.9", "", "bob:guess", 401},
		{"password of nobody", "127.0.0.9", "", "eve:" + bobsPassword, 401},
	} {
		a := rawRequest(t, s, c.from, c.user, c.basic)
		if a.status != c.status || (a.status == 401) != (a.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s = %d %v", c.name, a.status, a.header)
		}
	}
	for _, path := range []string{"/version", "/auth_headers_prefix", "/info", "/clusters", "/openapi.json"} {
		if a := s.ask("x", "GET", path, "", "X-Kadeploy-User", ""); a.status != 200 {
			t.Errorf("%s without proof = %d", path, a.status)
		}
	}
}

// recordedClients sends what g5k-api and docker-machine's driver send.
func recordedClients(t *testing.T, s *site) {
	s.ok("", "POST", "/rights", `{"username":"gert","nodes":["node-11.lab","node-12.lab"]}`, nil)
	var op started
	s.ok("gert", "POST", "/deployment", `{"environment":{"name":"debian","user":"root","version":"3","kind":"database"},"ssh_authorized_keys":"server://`+s.dir+`/images/image.tgz",
		"nodes":["node-11.lab","node-12.lab"],"deploy_part":"3","disable_disk_partitioning":false,"disable_bootloader_install":false,"force":false,"hook":true}`, &op)
	e := s.wait("gert", op)
	for _, node := range []string{"node-11.lab", "node-12.lab"} {
		if st := e.states[node]; st.State == nil || strings.ToUpper(*st.State) != "OK" {
			t.Errorf("g5k-api sees %+v", e.states)
		}
	}
	if a := s.ask("gert", "GET", op.Resources.Error, ""); a.status != 200 || a.body != "" {
		t.Errorf("error = %d %q", a.status, a.body)
	}
	var list []map[string]any
	s.ok("gert", "GET", "/environments?last=true&user=deploy", "", &list)
	for _, key := range []string{"name", "version", "visibility", "destructive", "os", "image", "boot", "filesystem", "partition_type", "multipart", "user"} {
		if _, there := list[0][key]; !there {
			t.Errorf("an environment has no %s: %v", key, list[0])
		}
	}
	s.ok("gert", "DELETE", "/deployment/"+op.WID, "", nil)

	var machine struct {
		Nodes map[string][]string
	}
	s.ok("gert", "POST", "/deployment", `{"nodes":["node-11.lab"],"environment":{"kind":"database","user":"root","name":"debian"},
		"custom_operations":{"BroadcastEnvKascade":{"manage_user_post_install":{"post-ops":[{"action":"exec","name":"docker","command":"chroot $KADEPLOY_ENV_EXTRACTION_DIR true"}]}}}}`, &op)
	s.wait("gert", op)
	var raw json.RawMessage
	s.ok("gert", "GET", "/deployment/"+op.WID, "", &raw)
	if err := json.Unmarshal(raw, &machine); err != nil || len(machine.Nodes["ok"]) != 1 {
		t.Errorf("docker-machine reads %s: %v", raw, err)
	}
	pop, _ := s.order("gert", "GET", "/power?nodes=node-11.lab", "")
	var states map[string]struct{ State, Out string }
	if s.ok("gert", "GET", "/power/"+pop.WID+"/state", "", &states); strings.TrimSpace(states["node-11.lab"].Out) != "power is on" {
		t.Errorf("power state = %+v", states)
	}
	var node struct{ State string }
	if s.ok("gert", "GET", "/nodes/node-11.lab", "", &node); node.State != "deployed" {
		t.Errorf("g5k-checks sees %+v", node)
	}
}

// scraped sees the operations of the tests before it in the metrics.
func scraped(t *testing.T, s *site) {
	a := s.ask("", "GET", "/metrics", "")
	if a.status != 200 {
		t.Fatalf("GET /metrics = %d %s", a.status, a.body)
	}
	for _, want := range []string{
		`kadeploy_operations_total\{kind="deployment",result="ok"\} [1-9]`, `kadeploy_operations_running\{kind="deployment"\} 0\n`,
		`kadeploy_nodes\{cluster="lab",state="[a-z_]+"\} [1-9]`, `kadeploy_window_size\{window="reboot"\} [1-9]`,
		`kadeploy_step_duration_seconds_count\{cluster="lab",instance="SetDeploymentEnvDummy",result="ok",step="dummy"\} [1-9]`,
		`kadeploy_journal_transitions_total [1-9]`,
	} {
		if !regexp.MustCompile(want).MatchString(a.body) {
			t.Errorf("%s is not in the metrics:\n%s", want, a.body)
		}
	}
	if a := s.ask("", "POST", "/metrics", ""); a.status != 405 {
		t.Errorf("POST /metrics = %d", a.status)
	}
}
