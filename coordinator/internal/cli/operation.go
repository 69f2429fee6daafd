package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/ui"
	"kadeploy/coordinator/internal/workflow"
)

// operation are the options of all commands that start a workflow (contract 1.2).
type operation struct {
	generic
	machines
	words words

	debug      bool
	okFile     string
	koFile     string
	script     string
	verbosity  int
	widFile    string
	wait       bool
	force      bool
	breakpoint string
	hook       bool
	json       bool
	spans      bool

	export *client.Export // files that the server fetches from here; nil: none
}

func (o *operation) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	o.machines.define(cmd)
	fs.StringVarP(&o.okFile, "output-ok-nodes", "o", "", "write the nodes that succeeded to `FILE`")
	fs.StringVarP(&o.koFile, "output-ko-nodes", "n", "", "write the nodes that failed to `FILE`")
	fs.StringVarP(&o.script, "script", "s", "", "run `FILE` at the end")
	fs.IntVarP(&o.verbosity, "verbose-level", "V", -1, "how much is told, `0-5` (the server's configuration)")
	fs.Lookup("verbose-level").DefValue = "0" // none is shown
	fs.BoolVarP(&o.debug, "debug-mode", "d", false, "show what commands print on the nodes (on file descriptor 3 if it is open)")
	fs.StringVar(&o.widFile, "write-workflow-id", "", "write the ID of the operation to `FILE`")
	fs.BoolVar(&o.wait, "wait", true, "wait for the end; with --no-wait print the ID and its path and leave")
	fs.BoolVar(&o.force, "force", false, "do not care whether the nodes are involved in another operation")
	fs.StringVar(&o.breakpoint, "breakpoint", "", "stop the nodes before a step: `MACRO[:MICRO]`")
	fs.BoolVar(&o.hook, "hook", false, "run the server's hook at the end")
	fs.BoolVar(&o.json, "json", false, "print one JSON object per line")
	fs.BoolVar(&o.spans, "timeline", false, "print at the end how long each node was in each step")
	o.generic.define(cmd)
}

// begin does what comes right after the options were read: the files of the
// results exist from then on, whatever happens.
func (o *operation) begin() error {
	if o.okFile != "" && o.okFile == o.koFile {
		return errors.New("-o and -n must name different files")
	}
	if !o.wait && (o.okFile != "" || o.koFile != "") {
		return errors.New("-o and -n need the end of the operation: leave --no-wait out")
	}
	for _, file := range []string{o.okFile, o.koFile} {
		if file == "" {
			continue
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return fmt.Errorf("list of results: %w", err)
		}
	}
	if o.verbosity != -1 && (o.verbosity < 0 || o.verbosity > 5) {
		return fmt.Errorf("-V %d: a verbosity is 0 to 5", o.verbosity)
	}
	if o.script != "" {
		st, err := os.Stat(o.script)
		if err != nil {
			return fmt.Errorf("script: %w", err)
		}
		if st.Mode()&0o111 == 0 || st.IsDir() {
			return fmt.Errorf("script %s: it is not executable", o.script)
		}
	}
	return nil
}

// request is what all orders have in common.
func (o *operation) request(nodes []string) map[string]any {
	body := map[string]any{"nodes": nodes}
	set := func(key string, on bool) {
		if on {
			body[key] = true
		}
	}
	set("debug", o.debug)
	set("force", o.force)
	set("hook", o.hook)
	set("dry_run", o.dryRun)
	if o.verbosity >= 0 {
		body["verbose_level"] = o.verbosity
	}
	if o.breakpoint != "" {
		body["breakpoint"] = o.breakpoint
	}
	return body
}

// lend makes files of this host available to the server, if any is among the URIs.
func (o *operation) lend(ctx context.Context, c *client.Client, body map[string]any, uris []string) error {
	var paths []string
	for _, uri := range uris {
		if path, ok := client.Local(uri); ok {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if !o.wait {
		return fmt.Errorf("%s is on this host, from where the server fetches it while the operation runs: leave --no-wait out", paths[0])
	}
	export, err := c.Export(ctx, paths)
	if err != nil {
		return err
	}
	o.export = export
	body["client"] = export.Base()
	return nil
}

func (o *operation) stopLending() {
	if o.export != nil {
		o.export.Close() // the operation is over: nobody reads any more
	}
}

// endLimit is how long the server may take to hear that an operation is cancelled or done with.
const endLimit = 10 * time.Second

// run starts an operation by create and follows it to its end.
func (o *operation) run(ctx context.Context, c *client.Client, nodes []string, create func(op *client.Operation) error) error {
	var op client.Operation
	if err := create(&op); err != nil {
		return err
	}
	if o.dryRun {
		return nil
	}
	if o.widFile != "" {
		if err := os.WriteFile(o.widFile, []byte(op.ID), 0o644); err != nil {
			return fmt.Errorf("ID of the operation: %w", err)
		}
	}
	if !o.wait {
		_, err := fmt.Fprintf(o.generic.app.Stdout, "%s %s\n", op.ID, op.Resources.Resource)
		return err
	}
	rep := o.report()
	rep.started(op, nodes)
	result, err := c.Follow(ctx, op, rep)
	// ctx may have ended: the server must hear it all the same.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	if err != nil {
		return o.failed(ctx, last, c, op, rep, err)
	}
	rep.ended(op, result)
	if err := errors.Join(appendNodes(o.okFile, result.OK), appendNodes(o.koFile, result.KO)); err != nil {
		return err
	}
	if o.spans {
		spans, err := c.Timeline(last, op)
		if err != nil {
			return fmt.Errorf("timeline of %s: %w", op.ID, err)
		}
		rep.timeline(spans, imageSize(last, c, op))
	}
	if err := c.End(last, op); err != nil {
		return fmt.Errorf("tell the server that %s is done with: %w", op.ID, err)
	}
	return o.runScript(ctx)
}

// imageSize is how many bytes were broadcast to each node; 0 if none were, or
// if an older server does not tell.
func imageSize(ctx context.Context, c *client.Client, op client.Operation) int64 {
	var live workflow.Live
	if err := c.Get(ctx, op.Resources.Resource+"/live", nil, &live); err != nil || live.Progress == nil {
		return 0
	}
	return live.Progress.Total
}

// failed ends an operation that could not run, or that the user interrupted.
func (o *operation) failed(ctx, last context.Context, c *client.Client, op client.Operation, rep report, err error) error {
	status := client.ExitStatus(err)
	if ctx.Err() != nil {
		err, status = errors.New("SIGINT trapped"), 1
	}
	rep.failed(op, err, status)
	if endErr := c.End(last, op); endErr != nil {
		fmt.Fprintf(o.generic.app.Stderr, "tell the server to stop %s: %v\n", op.ID, endErr)
	}
	return &exitError{status: status}
}

func (o *operation) report() report {
	app := o.generic.app
	if o.json {
		return &jsonReport{o.words, json.NewEncoder(app.Stdout)}
	}
	rep := &textReport{words: o.words, out: app.Stdout, errs: app.Stderr, debug: app.Debug, now: time.Now}
	const narrow = 40          // columns; below, a redrawn view is no help
	term := app.Getenv("TERM") // a program that reads through a pseudo-terminal often sets none
	if app.Terminal != nil && app.Terminal() >= narrow && term != "" && term != "dumb" {
		rep.live = ui.NewLive(app.Stderr, app.Terminal, app.Getenv("NO_COLOR") == "")
	}
	return rep
}

func appendNodes(file string, nodes []client.Node) error {
	if file == "" || len(nodes) == 0 {
		return nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("list of results: %w", err)
	}
	for _, n := range nodes {
		if _, err := fmt.Fprintln(f, n.Name); err != nil {
			return errors.Join(fmt.Errorf("list of results: %w", err), f.Close())
		}
	}
	return f.Close()
}

// runScript runs the user's script after the operation; its failure is only told.
func (o *operation) runScript(ctx context.Context) error {
	if o.script == "" {
		return nil
	}
	app := o.generic.app
	out := app.Stdout
	if o.json {
		out = app.Stderr // stdout is for the objects
	}
	fmt.Fprintf(out, "Running %s\n", o.script)
	path := o.script
	if path[0] != '/' {
		path = "./" + path
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = app.Stdin, out, app.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(out, "Fail !")
		return nil
	}
	fmt.Fprintln(out, "Success !")
	return nil
}
