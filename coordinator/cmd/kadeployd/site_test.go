package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/api/apitest"
	"kadeploy/coordinator/internal/config"
)

// site is a whole coordinator on ports of this host. Its nodes are deployed by the
// Dummy instances; reboots, power, VLANs and consoles are commands that write down
// their arguments.
type site struct {
	t          *testing.T
	dir        string
	api        string // host:port of the REST interface
	ssh        string // the port at which nodes' ssh is looked for
	socket     string
	ident      string // the port at which users' hosts are asked
	authority  *authority
	described  *apitest.Description
	local, tcp *http.Client
	stop       func()
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

const bobsPassword = "secret"

// The node "local" in VLAN "host" is localhost, which every resolver knows.
const serverConf = `
database: {file: DIR/k.sqlite}
api: {socket: DIR/s}
agents: {port: AGENTS}
network:
  server_hostname: 127.0.0.1
  ports: {kadeploy_server: API, ssh: SSH, test_deploy_env: MARK}
  vlan: {hostname_suffix: VLAN_ID, set_cmd: "DIR/note vlanNODES VLAN_ID USER"}
rights: {almighty_users: root}
authentication:
  acl: {whitelist: [127.0.0.1]}
  http_basic: {dbfile: DIR/passwords}
  certificate: {ca_cert: DIR/ca.pem}
  ident: {whitelist: [127.0.0.8], port: IDENT}
cache: {directory: DIR/cache, size: 100}
environments: {server_directories: [DIR/images]}
pxe:
  dhcp:
    method: GPXElinux
    repository: DIR/tftp
    export: {kind: http, server: boot.lab}
    profiles: {filename: hostname}
    userfiles: {directory: DIR/tftp/users, max_size: 1}
hooks: {end_of_deployment: "DIR/note hook WORKFLOW_ID"}
windows: {reboot: {sleep_time: 1}}
`

const clusterConf = `
partitioning: {block_device: /dev/vda}
boot: {kernels: {deploy: {vmlinuz: v, initrd: i}}, sleep_time_before_ping: 0}
timeouts: {reboot: 10, kexec: 10}
remoteops:
  reboot: [{name: soft, cmd: DIR/note reboot HOSTNAME_FQDN}, {name: hard, cmd: DIR/note hard reboot HOSTNAME_FQDN}]
  power_on: [{name: soft, cmd: DIR/note on HOSTNAME_FQDN}]
  power_off: [{name: soft, cmd: "false"}, {name: hard, cmd: DIR/note off HOSTNAME_FQDN}]
  power_status: [{cmd: echo power is on}]
  console: [{cmd: "echo console of HOSTNAME_SHORT; exec cat"}]
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Dummy}]
    BroadcastEnv: [{type: Dummy}]
    BootNewEnv: [{type: Dummy, retries: 1}]
`

const clustersConf = `
clusters:
- name: lab
  conf_file: lab.conf
  nodes:
  - {name: "node-[1-20].lab", address: "127.0.2.[1-20]"}
  - {name: local, address: 127.0.2.100}
`

func newSite(t *testing.T) *site {
	t.Helper()
	s := siteFiles(t)
	cfg, err := config.Load(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		ended <- run(ctx, cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), nil, func() { close(ready) })
	}()
	transport := s.connect()
	s.stop = func() {
		t.Helper()
		transport.CloseIdleConnections()
		s.tcp.CloseIdleConnections()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the coordinator ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the coordinator does not stop")
		}
	}
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		s.stop()
		t.Fatal("the coordinator does not become ready")
	}
	a, err := s.try("", "GET", "/openapi.json", "")
	if err == nil {
		s.described, err = apitest.Parse([]byte(a.body))
	}
	if err != nil {
		s.stop()
		t.Fatalf("the description of the interface: %v", err)
	}
	return s
}

// siteFiles makes the files of a site, of which no coordinator runs yet.
func siteFiles(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "kd-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t, dir: dir, ssh: freePort(t), socket: filepath.Join(dir, "s"), ident: freePort(t), authority: newAuthority(t)}
	port := freePort(t)
	s.api = net.JoinHostPort("127.0.0.1", port)
	fill := strings.NewReplacer("DIR", dir, "API", port, "AGENTS", freePort(t), "SSH", s.ssh, "MARK", freePort(t), "IDENT", s.ident)
	sum := sha1.Sum([]byte(bobsPassword))
	for name, content := range map[string]string{
		"server.conf": fill.Replace(serverConf), "clusters.conf": clustersConf, "lab.conf": fill.Replace(clusterConf),
		"ca.pem":    s.authority.pem(),
		"passwords": "bob:{SHA}" + base64.StdEncoding.EncodeToString(sum[:]) + "\n",
		"note":      "#!/bin/sh\necho \"$@\" >> " + dir + "/notes\n", "images/image.tgz": "an image", "images/big": strings.Repeat("x", 1<<20+1),
		"tftp/v": "kernel", "tftp/i": "initrd", "tftp/pxelinux.cfg/none": "", "tftp/users/none": "", "secret": "for root",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// connect makes the clients, and returns the way of the one over the socket.
func (s *site) connect() *http.Transport {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}
	overTCP := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 64}
	s.local, s.tcp = &http.Client{Transport: transport, Timeout: time.Minute}, &http.Client{Transport: overTCP, Timeout: time.Minute}
	return transport
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code() string { return a.header.Get("X-Application-Error-Code") }

// ask sends a request, and checks that the answer is as described: as root over the Unix socket if user is "", else over TLS
// as a user who is believed because of where he calls from.
func (s *site) ask(user, verb, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(user, verb, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", verb, path, err)
	}
	if err := s.described.Conforms(verb, path, a.status, a.header, []byte(a.body)); err != nil {
		s.t.Error(err)
	}
	return a
}

func (s *site) try(user, verb, path, body string, headers ...string) (answer, error) {
	client, base := s.local, "http://localhost"
	if user != "" {
		client, base = s.tcp, "https://"+s.api
	}
	req, err := http.NewRequest(verb, base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if user != "" {
		req.Header.Set("X-Kadeploy-User", user)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	_, err = io.Copy(&buf, resp.Body)
	return answer{resp.StatusCode, resp.Header, buf.String()}, err
}

// ok is ask for what must succeed; the answer is put into out.
func (s *site) ok(user, verb, path, body string, out any) {
	s.t.Helper()
	a := s.ask(user, verb, path, body)
	if a.status != http.StatusOK {
		s.t.Fatalf("%s %s %s as %q = %d %s", verb, path, body, user, a.status, a.body)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(a.body), out); err != nil {
		s.t.Fatalf("%s %s: %v in %s", verb, path, err, a.body)
	}
}

// started is an order's answer.
type started struct {
	WID       string
	Resources struct{ Resource, Log, State, Status, Error, Debug, Console string }
}

// ended is a workflow that is over.
type ended struct {
	Done, Error bool
	Nodes       struct{ OK, KO []string }
	states      map[string]struct{ State, Error, Out *string }
	text        string
}

// order starts a workflow and waits for its end, as a client does.
func (s *site) order(user, verb, path, body string) (started, ended) {
	s.t.Helper()
	var op started
	s.ok(user, verb, path, body, &op)
	return op, s.wait(user, op)
}

func (s *site) wait(user string, op started) (e ended) {
	s.t.Helper()
	for limit := time.Now().Add(40 * time.Second); !e.Done; time.Sleep(30 * time.Millisecond) {
		if time.Now().After(limit) {
			s.t.Fatalf("%s does not end", op.WID)
		}
		var raw json.RawMessage
		s.ok(user, "GET", op.Resources.Resource, "", &raw)
		if err := json.Unmarshal(raw, &e); err != nil {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(s.ask(user, "GET", op.Resources.Log, "").body) {
			_, text, _ := strings.Cut(line, "|")
			e.text += text
		}
	}
	s.ok(user, "GET", op.Resources.State, "", &e.states)
	return e
}

// notes are the lines that the site's commands wrote that begin with a word.
func (s *site) notes(word string) (lines []string) {
	data, err := os.ReadFile(filepath.Join(s.dir, "notes"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, word+" ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// environment is a description whose image everybody may read.
func (s *site) environment(name string, more string) string {
	return fmt.Sprintf(`"name":%q,"os":"linux","image":{"file":"server://%s/images/image.tgz","kind":"tar","compression":"gzip"},"boot":{"kernel":"/v","initrd":"/i"},"filesystem":"ext4"%s`, name, s.dir, more)
}
