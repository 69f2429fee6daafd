package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// streamEvents is GET /OP/W/events: server-sent events (WHATWG HTML, 9.2). A
// "live" event carries a workflow.Live whenever it changed, a "done" event the
// workflow as GET /OP/W shows it, and ends the stream. The lines of text are
// not among them: those are read once, by whoever asks for /logs.
func (s *server) streamEvents(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		c.w.Header().Set("Content-Type", "text/event-stream")
		c.w.Header().Set("Cache-Control", "no-store")
		c.w.WriteHeader(http.StatusOK)
		out := http.NewResponseController(c.w)
		tick := time.NewTicker(s.EventInterval)
		defer tick.Stop()
		var last []byte
		for {
			live, _ := s.Workflows.Live(v.ID)
			live.Macros, live.Failed = list(live.Macros), list(live.Failed)
			data, err := json.Marshal(live)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(data, last) {
				fmt.Fprintf(c.w, "event: live\ndata: %s\n\n", data)
				last = data
			}
			now, ok := s.Workflows.View(v.ID)
			if !ok {
				return streamed, nil
			}
			if now.Done {
				data, err := json.Marshal(describe(c, now))
				if err == nil {
					fmt.Fprintf(c.w, "event: done\ndata: %s\n\n", data)
				}
				return streamed, nil
			}
			if err := out.Flush(); err != nil {
				return streamed, nil // the reader left
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
