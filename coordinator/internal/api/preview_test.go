package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

func TestPreview(t *testing.T) {
	r := newRig(t)
	order := func(extra string) string {
		return `{"nodes":["node-1.lab","node-10.lab"],` + extra + `"environment":{"kind":"anonymous",` + description[1:] + `}`
	}
	look := func(extra string) workflow.Preview {
		t.Helper()
		var p workflow.Preview
		text := r.ok("root", "POST", "/deployment", order(`"dry_run":true,"plan":true,`+extra))
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return p
	}
	p := look("")
	c := p.Clusters[0]
	if p.Environment != "debian:2" || p.Owner != "root" || len(c.Nodes) != 2 || len(c.Macros) != 3 || len(c.Macros[0].Instances[0].Micros) != 2 || c.Seconds != nil || p.Image.Bytes != nil {
		t.Errorf("preview %+v", p)
	}
	if got := r.ok("root", "GET", "/deployment", ""); strings.TrimSpace(got) != "[]" {
		t.Errorf("a dry run started %s", got)
	}
	if got := r.ok("root", "POST", "/deployment", order(`"dry_run":true,`)); strings.TrimSpace(got) != "" {
		t.Errorf("a dry run without plan answers %s", got)
	}
	for _, extra := range []string{`"dry_run":true,"breakpoint":"Nowhere",`, `"dry_run":true,"plan":true,"breakpoint":"Nowhere",`} {
		if w := r.call("root", "POST", "/deployment", order(extra)); w.Code != 400 || w.Header().Get("X-Application-Error-Code") != "4" {
			t.Errorf("a plan that cannot be: %d %s", w.Code, w.Body)
		}
	}
	if w := r.call("bob", "POST", "/deployment", order(`"dry_run":true,"plan":true,`)); w.Header().Get("X-Application-Error-Code") != "6" {
		t.Errorf("without a right: %d %s", w.Code, w.Body)
	}

	// Once it was done, it is known how long it takes.
	var begun struct{ WID string }
	if err := json.Unmarshal([]byte(r.ok("root", "POST", "/deployment", order(""))), &begun); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if strings.Contains(r.ok("root", "GET", "/deployment/"+begun.WID, ""), `"done": true`) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	c = look("").Clusters[0]
	if c.Seconds == nil || *c.Seconds <= 0 || c.Macros[1].Instances[0].Micros[1].Operations != 1 {
		t.Errorf("after a deployment all is expected to take %v: %+v", c.Seconds, c.Macros)
	}
}
