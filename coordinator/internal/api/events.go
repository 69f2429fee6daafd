package api

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

const (
	eventTime = 30 * time.Second // a reader who takes nothing for so long has gone
	heartbeat = 15 * time.Second // so that one who has gone is noticed
)

// streamEvents is GET /OP/W/events: server-sent events (WHATWG HTML, 9.2). A
// "live" event carries a workflow.Live whenever it changed, a "done" event the
// workflow as GET /OP/W shows it, and ends the stream. Each tells all that there
// is to know, so that a reader who comes back needs only the last one; its id
// (Last-Event-ID) says whether he has it. The lines of text are not among them:
// those are read once, by whoever asks for /logs.
func (s *server) streamEvents(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		s.watching.enter(v.ID)
		defer s.watching.leave(v.ID)
		c.w.Header().Set("Content-Type", "text/event-stream")
		c.w.Header().Set("Cache-Control", "no-store")
		c.w.WriteHeader(http.StatusOK)
		e := &events{w: c.w, out: http.NewResponseController(c.w), last: c.r.Header.Get("Last-Event-ID")}
		e.write("retry: 1000\n\n")
		tick := time.NewTicker(s.EventInterval)
		defer tick.Stop()
		for {
			live, _ := s.Workflows.Live(v.ID)
			live.Macros, live.Failed = list(live.Macros), list(live.Failed)
			e.send("live", live)
			now, ok := s.Workflows.View(v.ID)
			if ok && now.Done {
				e.send("done", describe(c, now))
			}
			if !ok || now.Done || e.err != nil {
				return streamed, nil
			}
			select {
			case <-tick.C:
			case <-c.ctx.Done():
				return streamed, nil
			case <-s.Closing:
				return streamed, nil
			}
		}
	}
}

// events writes to one reader, who may be slow or gone: that holds nobody else.
type events struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	last string // id of the last event that the reader has
	at   time.Time
	err  error
}

// send writes an event unless the reader has it.
func (e *events) send(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		e.err = err
		return
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%s %s", name, data)
	id := fmt.Sprintf("%s-%016x", name, sum.Sum64())
	switch {
	case id != e.last:
		e.write(fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", name, id, data))
		e.last = id
	case time.Since(e.at) > heartbeat:
		e.write(":\n\n") // a comment
	}
}

func (e *events) write(text string) {
	if e.err != nil {
		return
	}
	e.at = time.Now()
	e.out.SetWriteDeadline(e.at.Add(eventTime)) // recorders have none
	if _, e.err = e.w.Write([]byte(text)); e.err == nil {
		e.err = e.out.Flush()
	}
}
