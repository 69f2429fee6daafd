package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The commands are tested against a real coordinator. Its nodes do dummy steps,
// so that no machine is needed.

func TestMain(m *testing.M) {
	commands := make(map[string]func())
	for _, name := range []string{"kadeploy", "kadeploy3", "kaenv3", "kareboot3", "kapower3", "kaconsole3", "kanodes3", "karights3", "kastat3"} {
		commands[name] = main
	}
	testscript.Main(tidy{m}, commands)
}

var update = flag.Bool("update", false, "rewrite what scripts compare with")

// scratch is a directory for what all tests share.
var scratch string

// tidy runs the tests, and removes what they shared.
type tidy struct{ m *testing.M }

func (t tidy) Run() (status int) {
	var err error
	if scratch, err = os.MkdirTemp("", "kadeploy-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return t.m.Run()
}

func TestScripts(t *testing.T) {
	daemon := daemonFor(t)
	ssh := answering(t, "127.0.2.1", "127.0.2.2")
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			state, err := os.MkdirTemp("/tmp", "kadeploy-script-") // a socket's path must be short
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(state) })
			home := filepath.Join(env.WorkDir, "home")
			if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(home, ".ssh/authorized_keys"), []byte("ssh-ed25519 AAAA me\n"), 0o600); err != nil {
				return err
			}
			text := clusters
			if filepath.Base(env.WorkDir) == "script-clusters" {
				text += "- {name: far, prefix: f, conf_file: lab.conf, nodes: [{name: \"far-[1-2].lab\", address: \"127.0.3.[1-2]\"}]}\n"
			}
			methods := "acl: {whitelist: [127.0.0.1]}"
			if filepath.Base(env.WorkDir) == "script-password" {
				methods = "http_basic: {dbfile: passwords}"
			}
			more := ""
			if filepath.Base(env.WorkDir) == "script-reboot" {
				more = fmt.Sprintf(bootServer, state)
				for _, name := range []string{"pxelinux.cfg", "users"} {
					if err := os.MkdirAll(filepath.Join(state, "tftp", name), 0o755); err != nil {
						return err
					}
				}
				env.Setenv("TFTP", filepath.Join(state, "tftp"))
			}
			tcp, stop, err := start(daemon, state, kind{text, methods, ssh, more})
			env.Defer(stop)
			if err == nil && filepath.Base(env.WorkDir) == "script-multi" {
				var second int
				second, stop, err = start(daemon, filepath.Join(state, "2"), kind{strings.NewReplacer("node-[1-3]", "other-[1-2]", "[1-3]", "[1-2]").Replace(clusters), methods, ssh, ""})
				env.Defer(stop)
				env.Setenv("PORT2", fmt.Sprint(second))
			}
			env.Setenv("KADEPLOY_SOCKET", filepath.Join(state, "s"))
			env.Setenv("KADEPLOY3_CONFIG_DIR", filepath.Join(env.WorkDir, "client"))
			env.Setenv("HOME", home)
			env.Setenv("USER", "root")
			env.Setenv("PORT", fmt.Sprint(tcp))
			return err
		},
	})
}

const server = `
database: {kind: sqlite, file: %[1]s/db}
cache: {directory: %[1]s/cache, size: 64}
api: {socket: %[1]s/s}
agents: {port: %[2]d, address: 127.0.0.1}
network: {server_hostname: localhost, ports: {kadeploy_server: %[3]d, ssh: %[4]d, test_deploy_env: %[5]d}}
security: {local_only: true}
authentication: {%[6]s}
%[7]s`

// bootServer is one of the site's.
const bootServer = `
pxe:
  dhcp:
    method: IPXE
    repository: %[1]s/tftp
    export: {kind: http, server: boot.lab}
    profiles: {filename: hostname}
    userfiles: {directory: %[1]s/tftp/users, max_size: 1}
`

const clusters = `
clusters:
- name: lab
  conf_file: lab.conf
  nodes:
  - {name: "node-[1-3].lab", address: "127.0.2.[1-3]"}
`

const lab = `
partitioning: {block_device: /dev/vda}
boot: {kernels: {deploy: {vmlinuz: vmlinuz, initrd: initrd}}, sleep_time_before_ping: 0}
remoteops:
  power_status: [{name: hard, cmd: "echo HOSTNAME_SHORT is on"}]
  console: [{cmd: "echo console of HOSTNAME_SHORT; cat"}]
  power_on: [{name: soft, cmd: "true"}]
  reboot: [{name: soft, cmd: "sleep 1"}]
  power_off: [{name: soft, cmd: "echo the BMC is dead >&2; false"}]
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Dummy}]
    BroadcastEnv: [{type: Dummy}]
    BootNewEnv: [{type: Dummy}]
`

// daemonFor builds the coordinator, once for all tests.
func daemonFor(t *testing.T) string {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var built = sync.OnceValues(func() (string, error) {
	file := filepath.Join(scratch, "kadeployd")
	build := exec.Command("go", "build", "-o", file, "kadeploy/coordinator/cmd/kadeployd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kadeployd: %w\n%s", err, out)
	}
	return file, nil
})

// kind is what coordinators differ in.
type kind struct {
	clusters string // clusters.conf
	methods  string // of authentication
	ssh      int    // port at which nodes are looked for
	more     string // of server.conf
}

// answering has nodes answer as if their ssh did, at one port.
func answering(t *testing.T, addresses ...string) (port int) {
	t.Helper()
	for _, address := range addresses {
		ln, err := net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		port = ln.Addr().(*net.TCPAddr).Port
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
	return port
}

// start runs a coordinator until stop is called, and gives its TCP port.
func start(daemon, state string, its kind) (port int, stop func(), err error) {
	stop = func() {}
	agents, err := freePort()
	if err != nil {
		return 0, stop, err
	}
	if port, err = freePort(); err != nil {
		return 0, stop, err
	}
	mark, err := freePort()
	if err != nil {
		return 0, stop, err
	}
	if err := os.MkdirAll(filepath.Join(state, "cache"), 0o755); err != nil {
		return 0, stop, err
	}
	for name, text := range map[string]string{
		"server.conf": fmt.Sprintf(server, state, agents, port, its.ssh, mark, its.methods, its.more), "clusters.conf": its.clusters, "lab.conf": lab,
		"passwords": "root:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", // secret
	} {
		if err := os.WriteFile(filepath.Join(state, name), []byte(text), 0o644); err != nil {
			return 0, stop, err
		}
	}
	var log bytes.Buffer
	cmd := exec.Command(daemon, "--config", state)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return 0, stop, err
	}
	for range 500 {
		if conn, err := net.Dial("unix", filepath.Join(state, "s")); err == nil {
			return port, func() {
				cmd.Process.Signal(os.Interrupt)
				cmd.Wait()
			}, conn.Close()
		}
		time.Sleep(20 * time.Millisecond) // another process is starting
	}
	cmd.Process.Kill()
	cmd.Wait()
	return 0, stop, fmt.Errorf("the coordinator does not start:\n%s", log.String())
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}
