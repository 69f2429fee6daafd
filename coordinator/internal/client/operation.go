package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// Operation is a workflow that the server has started (contract 7.6).
type Operation struct {
	ID        string `json:"wid"`
	Resources struct {
		Resource string `json:"resource"`
		Log      string `json:"log"`
		Debug    string `json:"debug"`
		State    string `json:"state"`
		Status   string `json:"status"`
		Error    string `json:"error"`
	} `json:"resources"`
}

// Watcher is shown what an operation does, from one goroutine.
type Watcher interface {
	Line(l workflow.Line)     // of the operation's text
	Debug(l workflow.Line)    // of what commands on the nodes printed
	Progress(l workflow.Live) // only if WantsProgress
	WantsProgress() bool
	Status(all []ClusterStatus, since time.Duration) // asked for by the user
}

// Result is how an operation ended. Every node is in exactly one of the lists,
// which are naturally sorted.
type Result struct {
	OK, KO  []Node
	Elapsed time.Duration
}

// Node is the end of one node.
type Node struct {
	Name  string
	State string
	Error string // MACRO-MICRO: text
	Out   string
}

// view is the answer of GET /OP/W.
type view struct {
	Done   bool    `json:"done"`
	Error  bool    `json:"error"`
	Logs   bool    `json:"logs"`
	Debugs bool    `json:"debugs"`
	Time   float64 `json:"time"`
	Nodes  struct {
		OK []string `json:"ok"`
		KO []string `json:"ko"`
	} `json:"nodes"`
}

// patience is how long a server that is suddenly away is waited for: it may be
// restarting, and comes back with the operation.
const patience = 60 * time.Second

// Follow shows an operation to w until it ends, and its status whenever something
// comes from ask, which may be nil. The error is the operation's own if it could
// not run as a whole.
func (c *Client) Follow(ctx context.Context, op Operation, w Watcher, ask <-chan struct{}) (*Result, error) {
	began := time.Now()
	text := &textOnce{show: w.Line}
	wait := 100 * time.Millisecond // quick operations end quickly
	var awaySince time.Time
	for {
		v, err := c.look(ctx, op, w, text)
		var answered *Error
		switch {
		case err == nil:
			if !awaySince.IsZero() {
				tellAway(w, false)
			}
			awaySince = time.Time{}
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &answered) && answered.Status != http.StatusServiceUnavailable:
			return nil, err
		case awaySince.IsZero():
			awaySince, text.again = time.Now(), true
			tellAway(w, true)
		case time.Since(awaySince) > patience:
			return nil, fmt.Errorf("%s: lost the server, the operation may still run there: %w", op.ID, err)
		}
		if err == nil && v.Done {
			return c.result(ctx, op, v)
		}
		select {
		case <-time.After(wait):
		case <-ask:
			if all, err := c.Status(ctx, op); err == nil {
				w.Status(all, time.Since(began)) // without an answer there is none to show
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wait = min(2*wait, time.Second)
	}
}

// Away is implemented by who wants to be told that the server does not answer, and
// that it does again.
type Away interface{ Away(lost bool) }

func tellAway(to any, lost bool) {
	if a, ok := to.(Away); ok {
		a.Away(lost)
	}
}

// textOnce shows lines of text. A server that was restarted tells all of them again,
// with the times that they had; one that is quick is not missed meanwhile.
type textOnce struct {
	show  func(workflow.Line)
	last  time.Time
	again bool // the server was away
	shown map[workflow.Line]bool
}

// lines shows those of one answer, in the order of their times.
func (t *textOnce) lines(all []workflow.Line) {
	for _, l := range all {
		t.again = t.again || t.shown[l] && !l.Time.IsZero()
		if !t.again || l.Time.After(t.last) {
			t.show(l)
		}
	}
	if t.shown == nil {
		t.shown = make(map[workflow.Line]bool)
	}
	for _, l := range all {
		t.shown[l] = true // not before: lines of one answer may well be alike
		if l.Time.After(t.last) {
			t.last = l.Time
		}
	}
}

// look asks once how far the operation is, and shows what is new.
func (c *Client) look(ctx context.Context, op Operation, w Watcher, text *textOnce) (*view, error) {
	// The view comes first: lines written before it said done are all fetched after it.
	var v view
	if err := c.Get(ctx, op.Resources.Resource, nil, &v); err != nil {
		return nil, err
	}
	if v.Logs || v.Done {
		all, err := c.lines(ctx, op.Resources.Log)
		if err != nil {
			return nil, err
		}
		text.lines(all)
	}
	if v.Debugs && op.Resources.Debug != "" {
		all, err := c.lines(ctx, op.Resources.Debug)
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			w.Debug(l)
		}
	}
	if w.WantsProgress() {
		var live workflow.Live
		err := c.Get(ctx, op.Resources.Resource+"/live", nil, &live)
		var answered *Error
		if errors.As(err, &answered) && answered.Status == http.StatusNotFound {
			return &v, nil // an older server
		}
		if err != nil {
			return nil, err
		}
		w.Progress(live)
	}
	return &v, nil
}

// lines fetches lines of text, <epoch>|<text>, in the order of their times.
func (c *Client) lines(ctx context.Context, path string) ([]workflow.Line, error) {
	text, err := c.GetText(ctx, path, nil, "")
	if err != nil {
		return nil, err
	}
	all := ParseLines(text)
	slices.SortStableFunc(all, func(a, b workflow.Line) int { return a.Time.Compare(b.Time) })
	return all, nil
}

// ParseLines reads the text of GET /OP/W/logs. What has no time is taken as it is.
func ParseLines(text string) []workflow.Line {
	var all []workflow.Line
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		stamp, rest, ok := strings.Cut(line, "|")
		seconds, fraction, hasFraction := strings.Cut(stamp, ".")
		sec, err := strconv.ParseInt(seconds, 10, 64)
		var frac uint64
		if hasFraction && err == nil && len(fraction) <= 9 {
			frac, err = strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
		}
		if !ok || err != nil || len(fraction) > 9 {
			all = append(all, workflow.Line{Text: line})
			continue
		}
		all = append(all, workflow.Line{Time: time.Unix(sec, int64(frac)), Text: rest})
	}
	return all
}

func (c *Client) result(ctx context.Context, op Operation, v *view) (*Result, error) {
	if v.Error {
		if err := c.Get(ctx, op.Resources.Error, nil, nil); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s failed, and the server does not say why", op.ID)
	}
	states := make(map[string]workflow.NodeState)
	if err := c.Get(ctx, op.Resources.State, nil, &states); err != nil {
		return nil, err
	}
	r := &Result{Elapsed: time.Duration(v.Time * float64(time.Second))}
	ok := make(map[string]bool)
	for _, name := range v.Nodes.OK {
		ok[name] = true
	}
	for _, name := range v.Nodes.KO { // a node that is in both is ko
		delete(ok, name)
		if _, known := states[name]; !known {
			states[name] = workflow.NodeState{State: "ko"}
		}
	}
	names := make([]string, 0, len(states))
	for name := range states {
		names = append(names, name)
	}
	nodeset.Sort(names)
	for _, name := range names {
		st := states[name]
		n := Node{Name: name, State: st.State, Error: st.Error, Out: st.Out}
		if ok[name] {
			r.OK = append(r.OK, n)
			continue
		}
		if n.Error == "" && n.State != "ko" {
			n.Error = n.State // discarded, aborted
		}
		r.KO = append(r.KO, n)
	}
	return r, nil
}

// End tells the server that nobody needs the operation any more; a running one is cancelled.
func (c *Client) End(ctx context.Context, op Operation) error {
	return c.Delete(ctx, op.Resources.Resource, map[string]any{}, nil)
}

// Timeline is each node's stay in each micro-step.
func (c *Client) Timeline(ctx context.Context, op Operation) ([]workflow.Span, error) {
	var spans []workflow.Span
	err := c.Get(ctx, op.Resources.Resource+"/timeline", nil, &spans)
	return spans, err
}

// PathOf joins the parts of a resource's path, form-url-encoded as the server expects them.
func PathOf(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.QueryEscape(p))
	}
	return b.String()
}

// Story is the timeline and the failures of an operation that runs, or ran.
func (c *Client) Story(ctx context.Context, op Operation) (*workflow.Story, error) {
	story := &workflow.Story{}
	err := c.Get(ctx, op.Resources.Resource+"/story", nil, story)
	return story, err
}
