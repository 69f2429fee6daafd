package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kadeployd": main, "kadeploy3d": main, "get": get})
}

// get prints what a daemon answers over its socket; with a third argument, which is sent.
func get() {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", os.Args[1])
	}}}
	url := "http://localhost" + os.Args[2]
	send := func() (*http.Response, error) { return client.Get(url) }
	if len(os.Args) > 3 {
		send = func() (*http.Response, error) {
			return client.Post(url, "application/json", strings.NewReader(os.Args[3]))
		}
	}
	resp, err := send()
	if err == nil {
		_, err = io.Copy(os.Stdout, resp.Body)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestScripts runs the daemon as init scripts do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			state, err := os.MkdirTemp("/tmp", "kadeployd-script-") // a socket's path must be short
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(state) })
			if err := os.Mkdir(filepath.Join(state, "cache"), 0o755); err != nil {
				return err
			}
			env.Defer(func() { stopDaemon(filepath.Join(env.WorkDir, "run/kadeploy3d.pid")) })
			ports, err := ownPorts(2)
			if err != nil {
				return err
			}
			text := fmt.Sprintf(`
database: {kind: sqlite, file: %[1]s/db}
cache: {directory: %[1]s/cache, size: 64}
api: {socket: %[1]s/s}
agents: {port: %[2]d, address: 127.0.0.1}
network: {server_hostname: localhost, ports: {kadeploy_server: %[3]d}}
security: {local_only: true}
authentication: {acl: {whitelist: [127.0.0.1]}}
`, state, ports[0], ports[1])
			env.Setenv("STATE", state)
			env.Setenv("KADEPLOY3_CONFIG_DIR", filepath.Join(env.WorkDir, "conf"))
			env.Setenv("KADEPLOY3_LOG_DIR", filepath.Join(env.WorkDir, "log"))
			env.Setenv("KADEPLOY3_RUN_DIR", filepath.Join(env.WorkDir, "run"))
			return os.WriteFile(filepath.Join(env.WorkDir, "conf/server.conf"), []byte(text), 0o644)
		},
	})
}

// given are ports of scripts, which run at the same time.
var given sync.Map

// ownPorts are free ports that no other script was given.
func ownPorts(n int) (ports []int, err error) {
	for len(ports) < n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		port := ln.Addr().(*net.TCPAddr).Port
		if _, taken := given.LoadOrStore(port, true); !taken {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// stopDaemon ends what a script that failed has left behind.
func stopDaemon(pidFile string) {
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestAccessLog(t *testing.T) {
	var lines strings.Builder
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	h := accessLog(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/nodes":
			noteUser(r.Context(), "bob \"the\"\n")
			fmt.Fprint(w, "12345")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("Flush = %v", err)
			}
		case "/none":
			http.Error(w, "no", http.StatusNotFound)
		}
	}), &lines, func() time.Time { return at })
	for _, req := range []struct{ verb, target, from string }{
		{"GET", "/nodes?a=b%20c", "10.0.0.9:1234"},
		{"POST", "/none", "[::1]:9"},
		{"DELETE", "/x\x7f", "@"},
	} {
		r := httptest.NewRequest(req.verb, "/", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(req.target, "?")
		r.RemoteAddr = req.from
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	want := `10.0.0.9 - bob__the__ [03/Feb/2026:04:05:06 +0100] "GET /nodes?a=b%20c HTTP/1.1" 200 5
::1 - - [03/Feb/2026:04:05:06 +0100] "POST /none HTTP/1.1" 404 3
local - - [03/Feb/2026:04:05:06 +0100] "DELETE /x%7F HTTP/1.1" 200 -
`
	if diff := cmp.Diff(want, lines.String()); diff != "" {
		t.Error(diff)
	}
}
