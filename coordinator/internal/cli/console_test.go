package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestTypeInto(t *testing.T) {
	tests := []struct {
		keys []string // as they are read, one after the other
		want string
	}{
		{[]string{"ls\r"}, "ls\r"},
		{[]string{"\x1b\x1b\x1b\x1b", "rest"}, "\x1b\x1b\x1b"},
		{[]string{"a\x1b", "\x1b", "\x1b", "\x1b", "rest"}, "a\x1b\x1b\x1b"},
		{[]string{"\x1b[A\x1b\x1b\x1b[B", "q"}, "\x1b[A\x1b\x1b\x1b[Bq"}, // keys, no kill
	}
	for _, tt := range tests {
		var readers []io.Reader
		for _, k := range tt.keys {
			readers = append(readers, strings.NewReader(k))
		}
		var out bytes.Buffer
		if err := typeInto(&out, io.MultiReader(readers...)); err != nil || out.String() != tt.want {
			t.Errorf("typeInto(%q) = %q, %v, want %q", tt.keys, out.String(), err, tt.want)
		}
	}
}

// consoleServer is a coordinator that has consoles alone: an echo in capitals.
type consoleServer struct {
	mu      sync.Mutex
	failure bool
	deleted int
}

func (c *consoleServer) start(t *testing.T) (directory string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
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
			go func() {
				defer conn.Close()
				fmt.Fprint(conn, "login: ")
				in := bufio.NewReader(conn)
				for {
					b, err := in.ReadByte()
					if err != nil || b == 4 {
						return
					}
					conn.Write(bytes.ToUpper([]byte{b}))
				}
			}()
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "1") })
	mux.HandleFunc("POST /console/", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["node"] != "node-1" {
			t.Errorf("POST /console/ %v, %v", body, err)
		}
		fmt.Fprintf(w, `{"wid":"C-1","resources":{"resource":"/console/C-1","error":"/console/C-1/error","console":"tcp://%s"}}`, ln.Addr())
	})
	mux.HandleFunc("GET /console/C-1", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		fmt.Fprintf(w, `{"id":"C-1","error":%v}`, c.failure)
	})
	mux.HandleFunc("GET /console/C-1/error", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Application-Error-Code", "6")
		http.Error(w, "Invalid rights -- they were taken away", http.StatusBadRequest)
	})
	mux.HandleFunc("DELETE /console/C-1", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deleted++
		fmt.Fprint(w, `{"wid":"C-1"}`)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	directory = t.TempDir()
	host, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	conf := fmt.Sprintf("default: x\nservers: [{name: x, hostname: %s, port: %s, secure: false, auth_headers_prefix: X-}]\n", host, port)
	if err := os.WriteFile(filepath.Join(directory, "client.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	return directory
}

func TestConsole(t *testing.T) {
	tests := []struct {
		name   string
		keys   string // "": nothing is typed, ever
		fails  bool
		status int
		out    string
		errs   string
	}{
		{name: "kill sequence", keys: "ls\x1b\x1b\x1b\x1bmore", out: "[Kaconsole] kill sequence: ^[^[^[^[\n"},
		{name: "the other side ends", keys: "x\x04", out: "[Kaconsole] kill sequence: ^[^[^[^[\nlogin: X\n"},
		{name: "the server ends it", fails: true, status: 6, out: "[Kaconsole] kill sequence: ^[^[^[^[\nlogin: \n", errs: "Invalid rights -- they were taken away\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &consoleServer{failure: tt.fails}
			dir := server.start(t)
			keys, typist := io.Pipe()
			defer typist.Close()
			if tt.keys != "" {
				go typist.Write([]byte(tt.keys))
			}
			var out, errs bytes.Buffer
			raws, restored := 0, 0
			a := &App{
				Name: "kaconsole3", Stdin: keys, Stdout: &out, Stderr: &errs, User: "bob",
				Getenv: func(name string) string { return map[string]string{"KADEPLOY3_CONFIG_DIR": dir}[name] },
				Typing: func() bool { return true },
				Raw:    func() (func(), error) { raws++; return func() { restored++ }, nil },
			}
			status := a.Run(context.Background(), []string{"-m", "node-1"})
			if status != tt.status || errs.String() != tt.errs || !strings.HasPrefix(out.String(), tt.out) {
				t.Errorf("status %d, want %d; stdout %q, want %q; stderr %q, want %q", status, tt.status, out.String(), tt.out, errs.String(), tt.errs)
			}
			if raws != 1 || restored != 1 || server.deleted != 1 {
				t.Errorf("raw %d times, restored %d times, deleted %d times", raws, restored, server.deleted)
			}
		})
	}
}

func TestConsoleRefused(t *testing.T) {
	tests := []struct {
		args   []string
		typing bool
		want   string
	}{
		{[]string{"-m", "node-1"}, false, "The standard input is no terminal: a console needs one to type on\n"},
		{[]string{"-m", "node-[1-2]"}, true, "A console is that of one node, and 2 are chosen; choose one with -m\n"},
		{nil, true, "No node is chosen; choose one with -m\n"},
	}
	for _, tt := range tests {
		var errs bytes.Buffer
		a := &App{Name: "kaconsole3", Stdout: io.Discard, Stderr: &errs, Getenv: func(string) string { return "" }, Typing: func() bool { return tt.typing }}
		if status := a.Run(t.Context(), tt.args); status != 1 || errs.String() != tt.want {
			t.Errorf("%v: status %d, stderr %q, want %q", tt.args, status, errs.String(), tt.want)
		}
	}
}
