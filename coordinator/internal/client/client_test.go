package client

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kadeploy/coordinator/internal/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseConfig(t *testing.T) {
	good := "default: b\nservers:\n- {name: a, hostname: h, port: 25300, secure: false}\n- {name: b, hostname: i, port: 1, auth_headers_prefix: X-, colour: red}\n- {name: c, socket: /s}\n"
	cfg, err := ParseConfig("client.conf", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	want := []Server{{Name: "a", Hostname: "h", Port: 25300}, {Name: "b", Hostname: "i", Port: 1, Secure: true, HeaderPrefix: "X-"}, {Name: "c", Socket: "/s", Secure: true}}
	if diff := cmp.Diff(want, cfg.Servers); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"client.conf:4: Unused field 'servers/1/colour'"}, cfg.Warnings); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct{ name, socket, want string }{{"", "", "b"}, {"a", "/x", "a"}, {"", "/x", "local"}} {
		if s, err := cfg.Choose(tt.name, tt.socket); err != nil || s.Name != tt.want {
			t.Errorf("Choose(%q, %q) = %v, %v", tt.name, tt.socket, s, err)
		}
	}
	if _, err := cfg.Choose("z", ""); err == nil {
		t.Error("an unknown server is chosen")
	}
	if s, err := (&Config{}).Choose("", ""); err != nil || s.Socket != DefaultSocket {
		t.Errorf("without a configuration: %v, %v", s, err)
	}
	for _, bad := range []string{"", "default: x\nservers: []", "default: a\nservers:\n- {name: a, hostname: h, port: x}", "default: a\nservers:\n- {name: a, hostname: h, port: 99999}", "a: ["} {
		if _, err := ParseConfig("client.conf", []byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&Error{Status: 400, Code: 6}, 6},
		{&Error{Status: 400, Code: 30}, 30},
		{&Error{Status: 400, Code: -1}, 2},
		{fmt.Errorf("wrapped: %w", &Error{Status: 403, Code: -1}), 2},
		{&Error{Status: 404, Code: -1}, 1},
		{&Error{Status: 500, Code: -1}, 3},
		{&Unreachable{Cause: io.EOF}, 1},
	} {
		if got := ExitStatus(tt.err); got != tt.want {
			t.Errorf("ExitStatus(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestLocal(t *testing.T) {
	for uri, want := range map[string]string{"/a": "/a", "local:///a": "/a", "a/b": "a/b", "server:///a": "", "http://h/a": "", "": ""} {
		if got, ok := Local(uri); ok != (want != "") || ok && got != want {
			t.Errorf("Local(%q) = %q, %v", uri, got, ok)
		}
	}
}

func TestParseLines(t *testing.T) {
	got := ParseLines("1700000000.12345|a|b\n1700000001.5|\nno time\n1.2.3|x\n")
	want := []workflow.Line{
		{Time: time.Unix(1700000000, 123450000), Text: "a|b"},
		{Time: time.Unix(1700000001, 500000000)},
		{Text: "no time"},
		{Text: "1.2.3|x"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseLines(f *testing.F) {
	f.Add("1700000000.12345|a\n")
	f.Add("-1.|\n.|x")
	f.Fuzz(func(t *testing.T, text string) {
		if got := len(ParseLines(text)); got != strings.Count(text, "\n")+min(len(text), 1)-min(strings.Count(text[max(len(text)-1, 0):], "\n"), 1) {
			t.Errorf("%q: %d lines", text, got)
		}
	})
}

// serve answers on a unix socket as a daemon does.
func serve(t *testing.T, h http.Handler) Server {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "client-test-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(func() { srv.Close(); os.RemoveAll(dir) })
	return Server{Name: "local", Socket: filepath.Join(dir, "s")}
}

func TestErrors(t *testing.T) {
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/version":
			fmt.Fprintln(w, "1.2.3")
		case "/app":
			w.Header().Set("X-Application-Error-Code", "6")
			w.Header().Set("X-Application-Error-Info", base64.StdEncoding.EncodeToString([]byte("No right -- on it")))
			w.WriteHeader(400)
		case "/text":
			fmt.Fprintln(w, "not JSON")
		case "/created":
			w.WriteHeader(201)
		default:
			w.WriteHeader(404)
		}
	}))
	c := New(server, Options{})
	defer c.Close()
	if v, err := c.Connect(t.Context()); v != "1.2.3" || err != nil {
		t.Errorf("Connect = %q, %v", v, err)
	}
	var e *Error
	if err := c.Get(t.Context(), "/app", nil, nil); !errors.As(err, &e) || e.Code != 6 || err.Error() != "No right -- on it" {
		t.Errorf("application error = %v", err)
	}
	if err := c.Get(t.Context(), "/none", nil, nil); !errors.As(err, &e) || err.Error() != "Resource not found /none" {
		t.Errorf("404 = %v", err)
	}
	if err := c.Get(t.Context(), "/created", nil, nil); !errors.As(err, &e) || e.Status != 201 {
		t.Errorf("201 is no success: %v", err)
	}
	if err := c.Get(t.Context(), "/text", nil, new(map[string]any)); err == nil || !strings.Contains(err.Error(), "makes no sense") {
		t.Errorf("text = %v", err)
	}
	gone := New(Server{Name: "local", Socket: "/nonexistent/s"}, Options{})
	if _, err := gone.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "/nonexistent/s") || !strings.Contains(err.Error(), "KADEPLOY_SOCKET") {
		t.Errorf("no daemon = %v", err)
	}
}

// fetch gets a file as the coordinator does.
func fetch(t *testing.T, base, path, verb string) (int, string, http.Header) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	req, err := http.NewRequest(verb, base+"/"+base64.URLEncoding.EncodeToString([]byte(path)), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

func TestExport(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "1") })
	tcp := httptest.NewServer(hello)
	defer tcp.Close()
	addr := tcp.Listener.Addr().(*net.TCPAddr)
	file := filepath.Join(t.TempDir(), "an image")
	other := filepath.Join(t.TempDir(), "secret")
	for _, f := range []string{file, other} {
		if err := os.WriteFile(f, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := Server{Name: "x", Hostname: addr.IP.String(), Port: addr.Port, HeaderPrefix: "X-"}
	for scheme, secure := range map[string]bool{"http": false, "https": true} {
		t.Run(scheme, func(t *testing.T) {
			c := New(server, Options{})
			defer c.Close()
			if _, err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			e, err := c.Export(t.Context(), []string{file}, secure)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(e.Base(), scheme+"://") {
				t.Errorf("files are served at %s", e.Base())
			}
			status, body, header := fetch(t, e.Base(), file, "GET")
			if status != 200 || body != "content" || !strings.HasPrefix(header.Get("ETag"), `"`) || header.Get("Last-Modified") == "" {
				t.Errorf("GET = %d %q %v", status, body, header)
			}
			if status, body, header := fetch(t, e.Base(), file, "HEAD"); status != 200 || body != "" || header.Get("Content-Length") != "7" {
				t.Errorf("HEAD = %d %q %v", status, body, header)
			}
			if status, _, _ := fetch(t, e.Base(), other, "GET"); status != 404 {
				t.Errorf("a file that is not lent = %d", status)
			}
			if status, _, _ := fetch(t, e.Base(), file, "PUT"); status != 405 {
				t.Errorf("PUT = %d", status)
			}
			bare := e.Base()[:strings.LastIndex(e.Base(), "/")]
			if status, _, _ := fetch(t, bare, file, "GET"); status != 404 {
				t.Errorf("without the secret = %d", status)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if status, _, _ := fetch(t, e.Base(), file, "GET"); status != 0 {
				t.Errorf("after Close = %d", status)
			}
		})
	}
	c := New(Server{Socket: "/x"}, Options{})
	if _, err := c.Export(t.Context(), []string{"/nonexistent"}, false); err == nil {
		t.Error("a file that is not there is lent")
	}
}
