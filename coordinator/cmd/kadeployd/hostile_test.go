package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// dialTLS connects to the REST interface from an address of this host.
func dialTLS(t *testing.T, s *site, from string) net.Conn {
	t.Helper()
	d := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: 10 * time.Second},
		Config:    &tls.Config{InsecureSkipVerify: true},
	}
	conn, err := d.DialContext(t.Context(), "tcp", s.api)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// send writes bytes and reads the answer; status 0: there was none.
func send(t *testing.T, s *site, from, text string) answer {
	t.Helper()
	conn := dialTLS(t, s, from)
	defer conn.Close()
	go io.WriteString(conn, text) // the server may answer before it has read all
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func rawRequest(t *testing.T, s *site, from, user, basic string) answer {
	t.Helper()
	text := "GET /nodes?list HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
	if user != "" {
		text += "X-Kadeploy-User: " + user + "\r\n"
	}
	if basic != "" {
		text += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(basic)) + "\r\n"
	}
	return send(t, s, from, text+"\r\n")
}

func malformed(t *testing.T, s *site) {
	head := "Host: h\r\nConnection: close\r\nX-Kadeploy-User: alice\r\n"
	post := "POST /deployment HTTP/1.1\r\n" + head
	body := func(kind, text string) string {
		return fmt.Sprintf("%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", post, kind, len(text), text)
	}
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"garbage", "\x16\x03\x01\x00\x00\r\n\r\n", 400},
		{"no host", "GET /nodes HTTP/1.1\r\n\r\n", 400},
		{"version", "GET /nodes HTTP/9.9\r\n" + head + "\r\n", 505},
		{"verb", "BREW /nodes HTTP/1.1\r\n" + head + "\r\n", 405},
		{"path", "GET /%zz HTTP/1.1\r\n" + head + "\r\n", 400},
		{"query", "GET /nodes?a=%zz HTTP/1.1\r\n" + head + "\r\n", 400},
		{"unknown path", "GET /nodes/x/y/z HTTP/1.1\r\n" + head + "\r\n", 404},
		{"dots", "GET /../../etc/passwd HTTP/1.1\r\n" + head + "\r\n", 404},
		{"huge query", "GET /nodes?a=" + strings.Repeat("x", 600<<10) + " HTTP/1.1\r\n" + head + "\r\n", 414},
		{"huge header", "GET /nodes HTTP/1.1\r\n" + head + "X: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", 431},
		{"no length", post + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411},
		{"too long", post + "Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{", 413},
		{"negative length", post + "Content-Length: -1\r\n\r\n", 400},
		{"two lengths", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
		{"no type", strings.Replace(body("x", "{}"), "Content-Type: x\r\n", "", 1), 415},
		{"a form", body("application/x-www-form-urlencoded", "nodes=a"), 415},
		{"no JSON", body("application/json", "{"), 415},
		{"a list", body("application/json", "[1]"), 415},
		{"two values", body("application/json", "{} {}"), 415},
		{"deep JSON", body("application/json", strings.Repeat("[", 200000)), 415},
		{"YAML bomb", body("application/x-yaml", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nnodes: *g\n"), 415},
		{"YAML keys", body("application/x-yaml", "1: 2\n"), 400},
		{"no form of answer", "GET /nodes HTTP/1.1\r\n" + head + "Accept: image/png\r\n\r\n", 406},
		{"files over TCP", "POST /files HTTP/1.1\r\n" + head + "Content-Length: 0\r\n\r\n", 403},
		{"plain HTTP upgrade", "GET /nodes HTTP/1.1\r\n" + head + "Upgrade: h2c\r\n\r\n", 200},
	} {
		a := send(t, s, "127.0.0.1", c.text)
		if a.status != c.status || strings.Contains(a.body, "goroutine") || a.status == 500 {
			t.Errorf("%s = %d %.200s, want %d", c.name, a.status, a.body, c.status)
		}
	}
	if a := s.ask("alice", "GET", "/nodes", "", "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "gzip" || a.header.Get("Cache-Control") != "no-store, no-cache" {
		t.Errorf("gzip: %v", a.header)
	}
}

// disappearing leaves requests of every kind half done; the coordinator must go on, and keep nothing.
func disappearing(t *testing.T, s *site) {
	head := "Host: h\r\nX-Kadeploy-User: alice\r\n"
	var op started
	s.ok("alice", "POST", "/deployment", `{"nodes":"node-1","environment":"debian"}`, &op)
	for name, text := range map[string]string{
		"before the end of the head": "GET /nodes HTTP/1.1\r\nHo",
		"mid-upload":                 "POST /environments HTTP/1.1\r\n" + head + "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"environment\":",
		"before the answer":          "GET /nodes HTTP/1.1\r\n" + head + "\r\n",
		"mid-log":                    "GET " + op.Resources.Log + " HTTP/1.1\r\n" + head + "\r\n",
		"in events":                  "GET " + op.Resources.Resource + "/events HTTP/1.1\r\n" + head + "\r\n",
		"after an order":             "PUT /power HTTP/1.1\r\n" + head + "Content-Type: application/json\r\nContent-Length: 37\r\n\r\n{\"nodes\":\"node-2.lab\",\"status\":\"on\"} ",
	} {
		conn := dialTLS(t, s, "127.0.0.1")
		if _, err := io.WriteString(conn, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "in events" {
			io.ReadFull(conn, make([]byte, 100))
		}
		conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0) // a reset, not an end
		conn.(*tls.Conn).NetConn().Close()
	}
	// A reader of events who reads nothing holds nobody.
	slow := dialTLS(t, s, "127.0.0.1")
	defer slow.Close()
	io.WriteString(slow, "GET "+op.Resources.Resource+"/events HTTP/1.1\r\n"+head+"\r\n")
	if e := s.wait("alice", op); len(e.Nodes.OK) != 1 {
		t.Errorf("the deployment that others watched: %+v", e)
	}
}

// crowd is 200 clients at once, over both ways.
func crowd(t *testing.T, s *site) {
	begin := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	failures := map[string]int{}
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		failures[fmt.Sprintf(format, args...)]++
	}
	for i := range 200 {
		wg.Go(func() {
			user := ""
			if i%2 == 1 {
				user = fmt.Sprintf("user%d", i)
			}
			name := fmt.Sprintf("crowd-%d", i)
			for _, c := range []struct {
				verb, path, body string
				status           int
			}{
				{"GET", "/version", "", 200},
				{"GET", "/nodes?user=x&list=true", "", 200},
				{"POST", "/environments/", `{"environment":{` + s.environment(name, "") + `}}`, 200},
				{"GET", "/environments?last=true&name=" + name, "", 200},
				{"GET", "/deployment", "", 200},
				{"GET", "/deployment/D-none", "", 400},
				{"DELETE", "/environments/" + owner(user) + "/" + name, `{"last":true}`, 200},
			} {
				a, err := s.try(user, c.verb, c.path, c.body)
				if err != nil || a.status != c.status {
					note("%s %s: %d %.60s %v", c.verb, strings.Split(c.path, "?")[0], a.status, a.body, err)
				}
			}
		})
	}
	wg.Wait()
	for what, n := range failures {
		t.Errorf("%d times: %s", n, what)
	}
	t.Logf("1400 requests of 200 clients took %v", time.Since(begin).Round(time.Millisecond))
}

func owner(user string) string {
	if user == "" {
		return "root"
	}
	return user
}
