package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/workflow"
)

// watch is kadeploy watch.
type watch struct {
	generic
	failIfAny bool
}

func (a *App) watchCommand() *cobra.Command {
	w := &watch{generic: generic{app: a}}
	cmd := &cobra.Command{
		Use:   "watch WID [options]",
		Short: "Watch an operation that runs",
		Long: `Watch an operation that runs, by its ID, until it ends: what is in which macro-step, and at the
end the lists of nodes. The operation goes on when this command is stopped, and whoever
started it misses no line of its text.

` + exitCodes,
		Example: "  kadeploy watch D-95736c68-2bf2-48d9-a0f6-2c85cef7da54\n  kadeploy watch $(cat wid) --fail-if-any",
	}
	w.ofOperation(cmd, "kanodes3 -a shows those that run", w.do)
	cmd.Flags().BoolVar(&w.failIfAny, "fail-if-any", false, "exit with 50 if any node failed")
	w.generic.define(cmd)
	return cmd
}

// ofOperation makes a command one about an operation, whose ID is its only word;
// where tells those who give none where to find it.
func (g *generic) ofOperation(cmd *cobra.Command, where string, do func(ctx context.Context, id string) error) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 { // -v and -I need none
			return nil
		}
		return manual.Words("WID")(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if asked, err := g.asked(cmd.Context()); asked {
			return err
		}
		if len(args) == 0 {
			return mistake("Give the ID of an operation: " + where)
		}
		return do(cmd.Context(), strings.TrimSpace(args[0]))
	}
	cmd.ValidArgsFunction = g.operations
}

// kindOf is what kind of operation an ID is of: its path, and what it is called.
func kindOf(id string) (path string, w words, err error) {
	switch {
	case strings.HasPrefix(id, "D-"):
		return "/deployment", deploymentWords, nil
	case strings.HasPrefix(id, "R-"):
		return "/reboot", rebootWords, nil
	case strings.HasPrefix(id, "P-"):
		return "/power", powerWords, nil
	}
	return "", words{}, mistakef("%q is not the ID of an operation: those begin with D-, R- or P-", id)
}

func (w *watch) do(ctx context.Context, id string) error {
	path, called, err := kindOf(id)
	if err != nil {
		return err
	}
	all, err := w.sessions(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	var op client.Operation
	op.ID = id
	op.Resources.Resource = path + client.PathOf(id)
	s := having(ctx, all, op)
	op.Resources.State, op.Resources.Error = op.Resources.Resource+"/state", op.Resources.Resource+"/error"
	op.Resources.Status = op.Resources.Resource + "/status"
	v, rep := w.viewer(called)
	t, onTerminal := v.(*terminalViewer)
	attending, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	if onTerminal {
		var enter <-chan struct{}
		if w.app.Enter != nil {
			enter = w.app.Enter(attending)
		}
		beside.Go(func() { t.attend(attending, s.Client, op, enter) })
	}
	result, err := s.Watch(ctx, op, v)
	stop()
	beside.Wait()
	if ctx.Err() != nil {
		if onTerminal {
			t.live.Erase()
		}
		return &exitError{status: 1} // the operation goes on
	}
	if err != nil {
		rep.failed(op, err, client.ExitStatus(err))
		return &exitError{status: client.ExitStatus(err)}
	}
	rep.ended(op, result)
	if w.failIfAny && len(result.KO) > 0 {
		return &exitError{status: anyFailed}
	}
	return nil
}

// having is the first of the servers that knows an operation, or just the last.
func having(ctx context.Context, all []*session, op client.Operation) *session {
	for _, s := range all[:len(all)-1] {
		var any json.RawMessage
		if s.Get(ctx, op.Resources.Resource, nil, &any) == nil {
			return s
		}
	}
	return all[len(all)-1]
}

// viewer is how the operation is shown: redrawn on a terminal, as objects, or as
// lines where something changes.
func (w *watch) viewer(called words) (client.Viewer, report) {
	app := w.app
	if w.json {
		j := &jsonReport{words: called, enc: json.NewEncoder(app.Stdout)}
		return &jsonViewer{j.enc}, j
	}
	text := &textReport{words: called, out: app.Stdout, errs: app.Stderr, now: time.Now}
	if live := app.live(); live != nil {
		text.live = live
		return &terminalViewer{out: app.Stdout, title: called.title, live: live}, text
	}
	return &lineViewer{out: app.Stdout, errs: app.Stderr}, text
}

type jsonViewer struct{ enc *json.Encoder }

func (v *jsonViewer) Live(l workflow.Live) {
	v.enc.Encode(struct {
		Type string `json:"type"`
		workflow.Live
	}{"live", l})
}

// lineViewer writes a line for each macro-step whose counts changed, and for each
// node that failed.
type lineViewer struct {
	out    io.Writer
	errs   io.Writer
	counts map[string]string
	failed map[string]bool
}

func (v *lineViewer) Away(lost bool) { away(v.errs, lost) }

// away says that the server does not answer, or does again.
func away(errs io.Writer, lost bool) {
	if lost {
		fmt.Fprintln(errs, "The server does not answer, it may be restarting; the operation goes on when it is back")
	} else {
		fmt.Fprintln(errs, "The server is back")
	}
}

func (v *lineViewer) Live(l workflow.Live) {
	if v.counts == nil {
		v.counts, v.failed = make(map[string]string), make(map[string]bool)
	}
	for _, m := range l.Macros {
		running := 0
		for _, n := range m.Running {
			running += n
		}
		if running+m.Done+m.Failed == 0 {
			continue // nobody has come there
		}
		line := fmt.Sprintf("%s: %d running, %d done, %d failed", m.Name, running, m.Done, m.Failed)
		if v.counts[m.Name] != line {
			v.counts[m.Name] = line
			fmt.Fprintln(v.out, line)
		}
	}
	for _, n := range l.Failed {
		if !v.failed[n.Node] {
			v.failed[n.Node] = true
			fmt.Fprintf(v.out, "%s (%s)\n", n.Node, strings.Join(strings.Fields(n.Error), " "))
		}
	}
}
