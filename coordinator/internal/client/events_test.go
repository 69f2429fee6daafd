package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/workflow"
)

func readAll(text string) (got []string, err error) {
	err = ReadEvents(strings.NewReader(text), func(name string, data []byte) error {
		got = append(got, fmt.Sprintf("%s=%s", name, data))
		return nil
	})
	return got, err
}

func TestReadEvents(t *testing.T) {
	got, err := readAll("event: live\ndata: {}\n\n: a comment\n\ndata:1\ndata: 2\r\n\r\nid: 3\nevent: x\n\nevent: cut\ndata: off")
	want := []string{"live={}", "message=1\n2"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := readAll("data: " + strings.Repeat("x", maxEvent)); err == nil {
		t.Error("an endless line is read")
	}
	stop := errors.New("stop")
	if err := ReadEvents(strings.NewReader("data: x\n\n"), func(string, []byte) error { return stop }); err != stop {
		t.Errorf("err = %v", err)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("event: live\ndata: {}\n\n")
	f.Add("data\n\r\n\n:\ndata: \xff\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readAll(text)
		if err == nil && len(got) > strings.Count(text, "data") {
			t.Errorf("%q: %q", text, got)
		}
	})
}

type pictures []string

func (p *pictures) Live(l workflow.Live) { *p = append(*p, l.Macros[0].Name) }

// TestWatch: a stream that breaks off is taken up again; the end has the states.
func TestWatch(t *testing.T) {
	times := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /deployment/D-1/events", func(w http.ResponseWriter, _ *http.Request) {
		times++
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: live\ndata: {\"macros\":[{\"name\":\"m%d\"}]}\n\n", times)
		if times == 2 {
			fmt.Fprint(w, "event: done\ndata: {\"done\":true,\"time\":1.5,\"nodes\":{\"ok\":[\"a\"],\"ko\":[\"b\"]}}\n\n")
		}
	})
	mux.HandleFunc("GET /deployment/D-1/state", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"a":{"state":"ok"},"b":{"state":"ko","error":"X-y: z"}}`)
	})
	mux.HandleFunc("GET /deployment/D-2/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Application-Error-Code", "1")
		http.Error(w, "Invalid workflow ID", http.StatusBadRequest)
	})
	c := New(serve(t, mux), Options{})
	defer c.Close()
	var op Operation
	op.Resources.Resource, op.Resources.State = "/deployment/D-1", "/deployment/D-1/state"
	var seen pictures
	r, err := c.Watch(t.Context(), op, &seen)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pictures{"m1", "m2"}, seen); diff != "" {
		t.Error(diff)
	}
	if len(r.OK) != 1 || len(r.KO) != 1 || r.KO[0].Error != "X-y: z" {
		t.Errorf("result %+v", r)
	}
	op.Resources.Resource = "/deployment/D-2"
	if _, err := c.Watch(t.Context(), op, &seen); ExitStatus(err) != 1 || err.Error() != "Invalid workflow ID" {
		t.Errorf("an unknown operation = %v", err)
	}
}
