package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// confFor writes a client.conf with one server, and gives its directory.
func confFor(t *testing.T, address string, secure bool) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := fmt.Sprintf("default: site\nservers: [{name: site, hostname: %s, port: %s, secure: %v}]\n", host, port, secure)
	if err := os.WriteFile(filepath.Join(dir, "client.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a command against the servers of a configuration.
func run(t *testing.T, dir, name string, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &App{
		Name: name, Stdin: bytes.NewReader(nil), Stdout: &stdout, Stderr: &stderr, User: "bob", Login: "bob",
		Getenv: func(name string) string { return map[string]string{"KADEPLOY3_CONFIG_DIR": dir}[name] },
	}
	status = a.Run(context.Background(), args)
	return status, stdout.String(), stderr.String()
}

// answers is a server that is alive, and answers all but the first questions in one way.
func answers(answer http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "3.3.11") })
	mux.HandleFunc("/auth_headers_prefix", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "X-Kadeploy-") })
	mux.HandleFunc("/", answer)
	return mux
}

// TestServersThatFail: each is told in a sentence, with the exit status that scripts look at.
func TestServersThatFail(t *testing.T) {
	text := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); io.WriteString(w, text) }
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		status int
		errs   string
	}{
		{"broken", text(500, "Internal Server Error -- a stack"), 3, `^Internal Server Error -- a stack\n$`},
		{"broken, silently", text(500, ""), 3, `^the server answered 500 Internal Server Error to /nodes\n$`},
		{"stopping", text(503, "Service Unavailable"), 3, `^Service Unavailable\n$`},
		{"refused", text(400, "Bad Request"), 2, `^Bad Request\n$`},
		{"no rights", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Application-Error-Code", "6")
			w.Header().Set("X-Application-Error-Info", base64.StdEncoding.EncodeToString([]byte("Invalid rights -- not yours\n")))
			w.WriteHeader(400)
		}, 6, `^Invalid rights -- not yours\n$`},
		{"code 0", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Application-Error-Code", "0")
			http.Error(w, "Bad configuration", 400)
		}, 2, `^Bad configuration\n$`},
		{"no code", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Application-Error-Code", "six")
			http.Error(w, "x", 400)
		}, 2, `^x\n$`},
		{"unknown user", text(401, "Unauthorized -- who are you?"), 2, `^Unauthorized -- who are you\?\n$`},
		{"forbidden", text(403, "Forbidden"), 2, `^Forbidden\n$`},
		{"no such resource", text(404, "Not Found"), 1, `^Resource not found /nodes\nNot Found\n$`},
		{"success that is none", text(201, `{}`), 2, `.`},
		{"no JSON", text(200, "<html>a portal</html>"), 1, `^GET /nodes: the server's answer makes no sense: `},
		{"breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		}, 1, `^GET /nodes: the answer broke off: unexpected EOF\n$`},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1, `^GET /nodes: EOF\n$`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answers(tt.answer))
			defer server.Close()
			status, out, errs := run(t, confFor(t, server.Listener.Addr().String(), false), "kanodes3", "-s", "--json")
			if status != tt.status || out != "" || !regexp.MustCompile(tt.errs).MatchString(errs) {
				t.Errorf("status %d, want %d; stdout %q; stderr %q, want %s", status, tt.status, out, errs, tt.errs)
			}
		})
	}
}

func TestServersOutOfReach(t *testing.T) {
	alive := answers(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{}`) })
	plain := httptest.NewServer(alive)
	defer plain.Close()
	secure := httptest.NewTLSServer(alive) // with a certificate that nobody vouches for
	defer secure.Close()
	ssh, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ssh.Close()
	go func() {
		for {
			conn, err := ssh.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
			conn.Close()
		}
	}()
	tests := []struct {
		name   string
		dir    string
		args   []string
		status int
		errs   string // "": none
	}{
		{"plain", confFor(t, plain.Listener.Addr().String(), false), nil, 0, ``},
		{"a certificate of its own", confFor(t, secure.Listener.Addr().String(), true), nil, 0, ``},
		{"TLS where there is none", confFor(t, plain.Listener.Addr().String(), true), nil, 1, `^The server site at https://.* does not speak TLS: .*\nIf it serves plain HTTP, set 'secure: false' for it in client.conf.\n$`},
		{"no TLS where there is", confFor(t, secure.Listener.Addr().String(), false), nil, 1, `^The server site at http://.* serves HTTPS: set 'secure: true' for it in client.conf\n$`},
		{"another protocol", confFor(t, ssh.Addr().String(), false), nil, 1, `^The server site cannot be reached at http://.*: .*malformed HTTP.*\nIs the daemon running there`},
		{"nobody there", confFor(t, "127.0.0.1:1", true), nil, 1, `^The server site cannot be reached at https://127.0.0.1:1: .*refused`},
		{"no such host", confFor(t, "nowhere.invalid:25300", true), nil, 1, `^The server site cannot be reached at https://nowhere.invalid:25300: `},
		{"not in client.conf", confFor(t, "127.0.0.1:1", true), []string{"-S", "other"}, 1, `^server other: it is not in .*client.conf, which has site\n$`},
		{"no client.conf", t.TempDir(), []string{"-S", "other"}, 1, `^server other: there is no client.conf that could name it\n$`},
		{"all, of none", t.TempDir(), []string{"-M"}, 1, `^-M needs the servers that client.conf lists`},
		{"all are away", confFor(t, "127.0.0.1:1", true), []string{"-M"}, 1, `^\[site\]    The server site cannot be reached`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, _, errs := run(t, tt.dir, "kanodes3", append([]string{"-s"}, tt.args...)...)
			if status != tt.status || (tt.errs == "") != (errs == "") || !regexp.MustCompile(tt.errs).MatchString(errs) {
				t.Errorf("status %d, want %d; stderr %q, want %s", status, tt.status, errs, tt.errs)
			}
		})
	}
}
