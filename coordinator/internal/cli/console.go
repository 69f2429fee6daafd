package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/manual"
)

// console is kaconsole3.
type console struct {
	generic
	machines
}

func (a *App) consoleCommand(name string) *cobra.Command {
	c := &console{generic: generic{app: a}, machines: machines{app: a}}
	cmd := &cobra.Command{
		Use:   name + " -m NODE [options]",
		Short: "Open the console of a node",
		Long: `Open the console of a node on this terminal. Typing Escape four times in a row ends it.

` + exitCodes,
		Example: fmt.Sprintf("  %[1]s -m node-2.lab", name),
		Args:    manual.Words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked, err := c.asked(cmd.Context()); asked {
				return err
			}
			return c.do(cmd.Context())
		},
	}
	cmd.Flags().SortFlags = false
	c.machines.define(cmd)
	c.generic.define(cmd)
	return cmd
}

func (c *console) do(ctx context.Context) error {
	nodes, err := c.machines.given()
	switch {
	case err != nil:
		return err
	case len(nodes) == 0:
		return mistake("No node is chosen; choose one with -m")
	case len(nodes) != 1:
		return mistakef("A console is that of one node, and %d are chosen; choose one with -m", len(nodes))
	case c.json:
		return mistake("A console is for people: leave --json out")
	}
	if !c.dryRun && !c.generic.app.typing() {
		return mistake("The standard input is no terminal: a console needs one to type on")
	}
	s, err := c.at(ctx, nodes)
	if err != nil {
		return err
	}
	defer s.Close()
	body := map[string]any{"node": nodes[0]}
	if c.dryRun {
		body["dry_run"] = true
		return s.Post(ctx, "/console/", body, nil)
	}
	var open openConsole
	if err := s.Post(ctx, "/console/", body, &open); err != nil {
		return err
	}
	err = c.attach(ctx, s, &open)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	endErr := s.Delete(last, open.Resources.Resource, map[string]any{}, nil)
	var answer *client.Error
	if errors.As(endErr, &answer) {
		endErr = nil // the server has ended it before
	}
	return errors.Join(err, endErr)
}

// at is the server that has the node.
func (c *console) at(ctx context.Context, nodes []string) (*session, error) {
	all, err := c.sessions(ctx)
	if err != nil || !c.several {
		if err != nil {
			return nil, err
		}
		return all[0], nil
	}
	shares, err := share(ctx, all, nodes)
	if err != nil {
		closeAll(all)
		return nil, err
	}
	var found *session
	for i, s := range all {
		if len(shares[i]) > 0 {
			found = s
			found.app = c.generic.app // bytes of a console have no lines to put a name before
			continue
		}
		s.Close()
	}
	return found, nil
}

// openConsole is a console that the server has opened.
type openConsole struct {
	ID        string `json:"wid"`
	Resources struct {
		Resource string `json:"resource"`
		Error    string `json:"error"`
		Console  string `json:"console"` // tcp://HOST:PORT
	} `json:"resources"`
}

// killSequence ends a console: Escape, four times in a row.
const killSequence = 4

// attach joins the terminal and the console until one of them ends.
func (c *console) attach(ctx context.Context, s *session, open *openConsole) error {
	at, err := url.Parse(open.Resources.Console)
	if err != nil || at.Scheme != "tcp" || at.Host == "" {
		return fmt.Errorf("console %s: the server says that it is at %q, which has not the form tcp://HOST:PORT", open.ID, open.Resources.Console)
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return fmt.Errorf("console %s: %w", open.ID, err)
	}
	app := c.generic.app
	fmt.Fprint(app.Stdout, "[Kaconsole] kill sequence: ^[^[^[^[\n")
	restore, err := app.Raw()
	if err != nil {
		return errors.Join(fmt.Errorf("console: make the terminal raw: %w", err), conn.Close())
	}
	ended := make(chan error, 3)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, err := io.Copy(app.Stdout, conn) // ends when the node's side does, or when conn is closed
		ended <- err
	}()
	defer func() {
		conn.Close()
		<-shown
		restore()
		fmt.Fprintln(app.Stdout)
	}()
	go func() { ended <- typeInto(conn, app.Stdin) }()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() { ended <- watchConsole(watching, s, open) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

// typeInto sends what is typed, until the kill sequence.
func typeInto(w io.Writer, r io.Reader) error {
	buffer := make([]byte, 256)
	escapes := 0
	for {
		n, err := r.Read(buffer)
		for i, b := range buffer[:n] {
			if b != 0x1b {
				escapes = 0
				continue
			}
			if escapes++; escapes == killSequence {
				_, err := w.Write(buffer[:i])
				return err
			}
		}
		if _, werr := w.Write(buffer[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// watchConsole looks each second whether the server still has the console.
func watchConsole(ctx context.Context, s *session, open *openConsole) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var v struct {
			Error bool `json:"error"`
		}
		err := s.Get(ctx, open.Resources.Resource, nil, &v)
		var answer *client.Error
		switch {
		case errors.As(err, &answer):
			return nil // it is gone; the last words of the server were on the console
		case err == nil && v.Error:
			return s.Get(ctx, open.Resources.Error, nil, nil) // without an error it has just ended
		}
		// A server that is away does not end the console: its connection does.
	}
}

// typing tells whether the input is a terminal.
func (a *App) typing() bool { return a.Typing != nil && a.Typing() }
