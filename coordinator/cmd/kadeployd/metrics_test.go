package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"kadeploy/coordinator/internal/auth"
)

func TestWhoMayScrape(t *testing.T) {
	may, err := auth.NewWhitelist([]string{"127.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	say := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(what)) })
	}
	h := withMetrics(say("api"), say("metrics"), may)
	for _, c := range []struct {
		path, from string
		status     int
		body       string
	}{
		{"/metrics", "127.0.0.1:5", 200, "metrics"},
		{"/metrics", "[::1]:5", 200, "metrics"},
		{"/metrics", "@", 200, "metrics"}, // the Unix socket
		{"/metrics", "10.0.0.1:5", 403, "this host may not read the metrics: add it to metrics/whitelist in server.conf\n"},
		{"/metrics/x", "10.0.0.1:5", 200, "api"},
		{"/nodes", "10.0.0.1:5", 200, "api"},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.RemoteAddr = c.from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("GET %s from %s = %d %q, want %d %q", c.path, c.from, w.Code, w.Body, c.status, c.body)
		}
	}
}
