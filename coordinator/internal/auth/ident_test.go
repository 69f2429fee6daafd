package auth

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
)

// identServer answers one question with a format that may name the question.
func identServer(t *testing.T, answer string) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		question, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			fmt.Fprint(conn, strings.ReplaceAll(answer, "Q", strings.TrimSpace(question)))
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port
}

func TestAskIdent(t *testing.T) {
	for answer, want := range map[string]string{
		"Q : USERID : UNIX : bob\r\n":    "bob",
		"Q:USERID:UNIX,US-ASCII:b:b\r\n": "b:b",
		"Q : ERROR : NO-USER\r\n":        "",
		"1, 2 : USERID : UNIX : bob\r\n": "",
		"Q : USERID : UNIX : \r\n":       "",
		"Q : USERID : UNIX : bob":        "", // cut off
		"":                               "",
		strings.Repeat("x", 4096) + "\n": "",
	} {
		user, err := askIdent(t.Context(), "127.0.0.1:6193", "127.0.0.1:25300", identServer(t, answer))
		if user != want || (err == nil) != (want != "") {
			t.Errorf("askIdent with the answer %.40q = %q, %v, want %q", answer, user, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := askIdent(ctx, "127.0.0.1:6193", "127.0.0.1:25300", identServer(t, "")); err == nil {
		t.Error("askIdent ignored the end of its context")
	}
}

func FuzzParseIdent(f *testing.F) {
	f.Add("6193, 23 : USERID : UNIX : stjohns\r\n")
	f.Add("6193,23:ERROR:HIDDEN-USER\r\n")
	f.Fuzz(func(t *testing.T, line string) {
		user, err := parseIdent(line, 6193, 23)
		if (err == nil) != (user != "") || strings.ContainsAny(user, "\x00 ") {
			t.Errorf("parseIdent(%q) = %q, %v", line, user, err)
		}
	})
}
