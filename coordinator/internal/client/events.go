package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// maxEvent bounds one event: the picture of a large deployment with all its failures.
const maxEvent = 16 << 20

// Viewer is shown what becomes of an operation, from one goroutine.
type Viewer interface {
	Live(l workflow.Live)
}

// errEventsBroke: the stream ended before the operation did.
var errEventsBroke = errors.New("the server's events broke off")

// Watch shows an operation to v until it ends, and gives how it ended. It changes
// nothing: not the operation, nor which lines of its text were read.
func (c *Client) Watch(ctx context.Context, op Operation, v Viewer) (*Result, error) {
	var awaySince time.Time
	for {
		done, err := c.stream(ctx, op, v, func() {
			if !awaySince.IsZero() {
				tellAway(v, false)
			}
			awaySince = time.Time{}
		})
		var answered *Error
		switch {
		case err == nil:
			return c.result(ctx, op, done)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &answered) && answered.Status != http.StatusServiceUnavailable:
			return nil, err
		case awaySince.IsZero():
			awaySince = time.Now()
			tellAway(v, true)
		case time.Since(awaySince) > patience:
			return nil, fmt.Errorf("%s: lost the server, the operation may still run there: %w", op.ID, err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// stream reads the events of an operation once; alive is called at each.
func (c *Client) stream(ctx context.Context, op Operation, v Viewer, alive func()) (*view, error) {
	path := op.Resources.Resource + "/events"
	req, err := c.request(ctx, http.MethodGet, path, nil, "text/event-stream")
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent))
		if err != nil {
			return nil, fmt.Errorf("GET %s: the answer broke off: %w", path, err)
		}
		return nil, asError(resp, data, path)
	}
	var done *view
	err = ReadEvents(resp.Body, func(name string, data []byte) error {
		alive()
		switch name {
		case "live":
			var l workflow.Live
			if err := json.Unmarshal(data, &l); err != nil {
				return fmt.Errorf("GET %s: an event makes no sense: %w", path, err)
			}
			v.Live(l)
		case "done":
			done = new(view)
			if err := json.Unmarshal(data, done); err != nil {
				return fmt.Errorf("GET %s: an event makes no sense: %w", path, err)
			}
		}
		return nil
	})
	if done != nil {
		return done, nil
	}
	if err == nil {
		err = errEventsBroke
	}
	return nil, err
}

// ReadEvents reads a stream of server-sent events (WHATWG HTML, 9.2.6) to its end:
// lines "event: NAME" and "data: TEXT", an empty line after each event. An event
// that is not complete at the end does not count.
func ReadEvents(r io.Reader, show func(name string, data []byte) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxEvent)
	name, data, any := "", []byte(nil), false
	for in.Scan() {
		line := strings.TrimSuffix(in.Text(), "\r")
		if line == "" {
			if any {
				if name == "" {
					name = "message"
				}
				if err := show(name, data); err != nil {
					return err
				}
			}
			name, data, any = "", nil, false
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			if any {
				data = append(data, '\n')
			}
			if len(data)+len(value) > maxEvent {
				return fmt.Errorf("an event is longer than %d bytes", maxEvent)
			}
			data, any = append(data, value...), true
		}
	}
	return in.Err()
}
