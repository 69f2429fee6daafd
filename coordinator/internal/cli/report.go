package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/ui"
	"kadeploy/coordinator/internal/workflow"
)

// words are what one kind of operation is called in the text of contract 1.8.
type words struct {
	kind  string // deployment, reboot, power: in JSON
	title string // Deployment #D-..., Reboot operation #R-...
	name  string // The deployment is successful on nodes
}

var (
	deploymentWords = words{kind: "deployment", title: "Deployment", name: "deployment"}
	rebootWords     = words{kind: "reboot", title: "Reboot operation", name: "reboot operation"}
	powerWords      = words{kind: "power", title: "Power operation", name: "power operation"}
)

// report tells the user of an operation while it runs.
type report interface {
	client.Watcher
	submitted(op client.Operation) error
	started(op client.Operation, nodes []string)
	ended(op client.Operation, r *client.Result)
	failed(op client.Operation, err error, status int)
	timeline(spans []workflow.Span, size int64) // of the image; 0: not known
}

// textReport writes the text of contract 1.8; on a terminal with the live view below it.
type textReport struct {
	words words
	out   io.Writer
	errs  io.Writer
	debug io.Writer // nil: in between, marked
	live  *ui.Live  // nil: not on a terminal
	now   func() time.Time
}

// print writes lines where the live view is not.
func (t *textReport) print(w io.Writer, format string, args ...any) {
	if t.live != nil {
		t.live.Erase()
	}
	fmt.Fprintf(w, format, args...)
}

func (t *textReport) submitted(op client.Operation) error {
	_, err := fmt.Fprintf(t.out, "%s %s\n", op.ID, op.Resources.Resource)
	return err
}

func (t *textReport) started(op client.Operation, _ []string) {
	t.print(t.out, "%s #%s started\n", t.words.title, op.ID)
}

func (t *textReport) Line(l workflow.Line) { t.print(t.out, "%s\n", l.Text) }

func (t *textReport) Debug(l workflow.Line) {
	if t.debug != nil {
		fmt.Fprintln(t.debug, l.Text)
		return
	}
	t.print(t.out, "[dbg] %s\n", l.Text)
}

func (t *textReport) WantsProgress() bool { return t.live != nil }

func (t *textReport) Progress(l workflow.Live) { t.live.Draw(l, t.now()) }

func (t *textReport) Status(all []client.ClusterStatus, since time.Duration) {
	if t.live != nil {
		t.live.Typed()
	}
	t.print(t.out, "%s", statusText(t.words.title, all, since))
}

func (t *textReport) ended(op client.Operation, r *client.Result) {
	t.print(t.out, "%s #%s done\n\n", t.words.title, op.ID)
	if len(r.OK) > 0 {
		fmt.Fprintf(t.out, "The %s is successful on nodes\n", t.words.name)
		for _, n := range r.OK {
			fmt.Fprintln(t.out, n.Name)
		}
	}
	if len(r.KO) > 0 {
		fmt.Fprintf(t.out, "The %s failed on nodes\n", t.words.name)
		for _, n := range r.KO {
			if n.Error == "" {
				fmt.Fprintln(t.out, n.Name)
			} else {
				// One line for each node, whatever it printed: scripts read this.
				fmt.Fprintf(t.out, "%s (%s)\n", n.Name, strings.Join(strings.Fields(n.Error), " "))
			}
		}
		if t.live != nil { // a person looks; scripts read the text of old
			fmt.Fprintf(t.errs, "What they said last: kadeploy timeline %s\n", op.ID)
		}
	}
}

func (t *textReport) failed(_ client.Operation, err error, _ int) {
	t.print(t.errs, "%v\n", err)
}

func (t *textReport) timeline(spans []workflow.Span, size int64) {
	writeTimeline(t.out, spans)
	writeTransfers(t.out, transfersOf(spans, size))
}

// jsonReport writes one object per line; docs/user-guide.md describes them.
type jsonReport struct {
	words  words
	enc    *json.Encoder
	server string // of several
}

func (j *jsonReport) submitted(op client.Operation) error {
	return j.enc.Encode(struct {
		Type     string `json:"type"`
		WID      string `json:"wid"`
		Kind     string `json:"kind"`
		Server   string `json:"server,omitempty"`
		Resource string `json:"resource"`
	}{"submitted", op.ID, j.words.kind, j.server, op.Resources.Resource})
}

func (j *jsonReport) started(op client.Operation, nodes []string) {
	j.enc.Encode(struct {
		Type   string   `json:"type"`
		WID    string   `json:"wid"`
		Kind   string   `json:"kind"`
		Server string   `json:"server,omitempty"`
		Nodes  []string `json:"nodes"`
	}{"started", op.ID, j.words.kind, j.server, nodes})
}

type jsonLine struct {
	Type string    `json:"type"`
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

func (j *jsonReport) Line(l workflow.Line) { j.enc.Encode(jsonLine{"line", l.Time.UTC(), l.Text}) }

func (j *jsonReport) Debug(l workflow.Line) { j.enc.Encode(jsonLine{"debug", l.Time.UTC(), l.Text}) }

func (j *jsonReport) WantsProgress() bool { return false }

func (j *jsonReport) Progress(workflow.Live) {}

func (j *jsonReport) Status([]client.ClusterStatus, time.Duration) {}

func (j *jsonReport) ended(op client.Operation, r *client.Result) {
	type jsonNode struct {
		Type  string `json:"type"`
		Node  string `json:"node"`
		OK    bool   `json:"ok"`
		State string `json:"state"`
		Error string `json:"error,omitempty"`
		Out   string `json:"out,omitempty"`
	}
	for _, n := range r.OK {
		j.enc.Encode(jsonNode{"node", n.Name, true, n.State, n.Error, n.Out})
	}
	for _, n := range r.KO {
		j.enc.Encode(jsonNode{"node", n.Name, false, n.State, n.Error, n.Out})
	}
	j.enc.Encode(struct {
		Type    string  `json:"type"`
		WID     string  `json:"wid"`
		OK      int     `json:"ok"`
		KO      int     `json:"ko"`
		Seconds float64 `json:"seconds"`
	}{"done", op.ID, len(r.OK), len(r.KO), r.Elapsed.Seconds()})
}

func (j *jsonReport) failed(op client.Operation, err error, status int) {
	j.enc.Encode(struct {
		Type       string `json:"type"`
		WID        string `json:"wid"`
		Message    string `json:"message"`
		ExitStatus int    `json:"exit_status"`
	}{"error", op.ID, err.Error(), status})
}

func (j *jsonReport) timeline(spans []workflow.Span, size int64) {
	for _, s := range spans {
		j.enc.Encode(struct {
			Type string `json:"type"`
			workflow.Span
			Seconds float64 `json:"seconds"`
		}{"span", s, s.Ended.Sub(s.Started).Seconds()})
	}
	for _, x := range transfersOf(spans, size) {
		j.enc.Encode(struct {
			Type string `json:"type"`
			transfer
		}{"broadcast", x})
	}
}

// Away implements client.Away.
func (r *textReport) Away(lost bool) {
	if r.live != nil {
		r.live.Erase()
	}
	away(r.errs, lost)
}
