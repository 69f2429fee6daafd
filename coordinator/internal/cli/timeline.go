package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/timeline"
	"kadeploy/coordinator/internal/workflow"
)

// plainColumns is the width of a chart that does not go to a terminal.
const plainColumns = 120

// timelineOf is kadeploy timeline.
type timelineOf struct {
	generic
	all bool
	svg string
}

func (a *App) timelineCommand() *cobra.Command {
	t := &timelineOf{generic: generic{app: a}}
	cmd := &cobra.Command{
		Use:   "timeline WID [options]",
		Short: "Show where the time of an operation went, and what failed nodes said last",
		Long: `Show an operation that runs, or that ended in the last 30 days: when each node was in which
micro-step and when it waited for others, which stays the end of the operation hung on, and what
the console and the agent of each node that failed said last.

` + exitCodes,
		Example: "  kadeploy timeline D-95736c68-2bf2-48d9-a0f6-2c85cef7da54\n  kadeploy timeline $(cat wid) --svg run.svg",
	}
	t.ofOperation(cmd, "kadeploy3 prints it, and `kastat3 -a -F wid,start,hostname` lists those of the past", t.do)
	cmd.Flags().BoolVarP(&t.all, "all", "a", false, "draw all nodes, not just as many as a screen holds")
	cmd.Flags().StringVar(&t.svg, "svg", "", "write the chart as a picture into `FILE` (-: to the output)")
	t.generic.define(cmd)
	return cmd
}

func (t *timelineOf) do(ctx context.Context, id string) error {
	path, _, err := kindOf(id)
	if err != nil {
		return err
	}
	all, err := t.sessions(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	var op client.Operation
	op.ID = id
	op.Resources.Resource = path + client.PathOf(id)
	story, err := storyOf(ctx, all, op)
	if err != nil {
		return err
	}
	switch out := t.app.Stdout; {
	case t.json:
		return json.NewEncoder(out).Encode(story)
	case t.svg == "-":
		return drawing(story).WriteSVG(out, title(story))
	case t.svg != "":
		return writeSVG(t.svg, story)
	}
	width := plainColumns
	if t.app.Terminal != nil && t.app.Terminal() > 0 {
		width = t.app.Terminal()
	}
	return writeStory(t.app.Stdout, story, width, t.all)
}

// storyOf is from the first of the servers that has it; the error is the last one's.
func storyOf(ctx context.Context, all []*session, op client.Operation) (story *workflow.Story, err error) {
	for _, s := range all {
		if story, err = s.Story(ctx, op); err == nil {
			return story, nil
		}
	}
	return nil, fmt.Errorf("timeline of %s: %w", op.ID, err)
}

func drawing(s *workflow.Story) *timeline.Chart { return timeline.New(s.Spans, time.Now()) }

// title is one line about the operation.
func title(s *workflow.Story) string {
	text := fmt.Sprintf("%s: %s of %s", s.ID, s.Kind, s.User)
	if s.Env != "" {
		text += ", " + s.Env
	}
	text += ", " + s.Started.Local().Format("2006-01-02 15:04:05")
	if s.Ended.IsZero() {
		return text + ", running"
	}
	return text + fmt.Sprintf(", %.1f s", s.Ended.Sub(s.Started).Seconds())
}

// writeSVG puts the picture into its place when it is whole.
func writeSVG(file string, s *workflow.Story) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("write the picture %s: %w", file, err)
	}
	defer os.Remove(tmp.Name()) // gone already if all went well
	err = errors.Join(drawing(s).WriteSVG(tmp, title(s)), tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// writeStory prints the chart and what failed nodes said.
func writeStory(w io.Writer, s *workflow.Story, width int, all bool) error {
	fmt.Fprintf(w, "%s\n\n", title(s))
	if err := drawing(s).WriteText(w, width, all); err != nil {
		return err
	}
	for i := range s.Failures {
		e := &s.Failures[i]
		fmt.Fprintf(w, "\n%s failed in %s-%s, attempt %d, at %s:\n  %s\n", e.Node, e.Instance, e.Micro, e.Attempt+1,
			e.Time.Local().Format("15:04:05"), strings.ReplaceAll(strings.TrimSpace(e.Reason), "\n", "\n  "))
		writeSaid(w, "its console said last", e.Console)
		writeSaid(w, "its agent and kernel said last", e.Agent)
	}
	return nil
}

// saidLines is how many lines of a console are shown in a text; --json has all that is kept.
const saidLines = 25

func writeSaid(w io.Writer, what, text string) {
	text = strings.TrimRight(text, "\n ")
	if text == "" {
		return
	}
	lines := strings.Split(text, "\n")
	fmt.Fprintf(w, "  %s:\n", what)
	for _, l := range lines[max(0, len(lines)-saidLines):] {
		fmt.Fprintf(w, "    | %s\n", l)
	}
}
