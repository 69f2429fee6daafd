package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"kadeploy/coordinator/internal/client"
)

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
