package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// accessLog writes a line for each request in the Common Log Format:
//
//	HOST - USER [02/Jan/2006:15:04:05 -0700] "GET /nodes HTTP/1.1" STATUS BYTES
//
// HOST is "local" on the Unix socket; USER is who the request was taken to be of.
func accessLog(next http.Handler, w io.Writer, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		began := now()
		who := new(string)
		counted := &countedAnswer{ResponseWriter: out}
		defer func() { // also when the handler gives up
			io.WriteString(w, accessLine(r, *who, began, counted))
		}()
		next.ServeHTTP(counted, r.WithContext(context.WithValue(r.Context(), whoKey{}, who)))
	})
}

func accessLine(r *http.Request, who string, at time.Time, a *countedAnswer) string {
	host := "local"
	if h, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		host = h
	}
	if who == "" {
		who = "-"
	}
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	size := "-"
	if a.bytes > 0 {
		size = fmt.Sprint(a.bytes)
	}
	return fmt.Sprintf("%s - %s [%s] \"%s %s %s\" %d %s\n", host, word(who), at.Format("02/Jan/2006:15:04:05 -0700"),
		r.Method, word(r.URL.RequestURI()), r.Proto, status, size)
}

// word is a text without what would break the line apart.
func word(text string) string {
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c == '"' || c == 0x7f {
			return '_'
		}
		return c
	}, text)
}

type whoKey struct{}

// noteUser tells the access log of whom a request is.
func noteUser(ctx context.Context, user string) {
	if who, ok := ctx.Value(whoKey{}).(*string); ok {
		*who = user
	}
}

// countedAnswer notes what is answered.
type countedAnswer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController: answers that are streamed are flushed.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *countedAnswer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(data []byte) (int, error) {
	n, err := a.ResponseWriter.Write(data)
	a.bytes += int64(n)
	return n, err
}
