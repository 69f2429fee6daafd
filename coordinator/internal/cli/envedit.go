package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/manual"
)

// envEdit is kadeploy env edit.
type envEdit struct {
	registry
}

func (a *App) envEditCommand() *cobra.Command {
	e := &envEdit{registry{generic: generic{app: a}}}
	cmd := &cobra.Command{
		Use:   "edit NAME[:VERSION][@USER] [options]",
		Short: "Change the description of an environment in an editor",
		Long: `Open the description of a registered environment in an editor ($VISUAL, $EDITOR, or else vi)
and register what it becomes. What is registered stays: unless the text has another
version, or another name, the result is the version after the latest.

A text that cannot be registered is kept; where, is told.

` + exitCodes,
		Example: "  kadeploy env edit debian12-min\n  EDITOR='code --wait' kadeploy env edit debian12-min:3@deploy",
		Args:    manual.Words("NAME[:VERSION][@USER]"),

		ValidArgsFunction: e.onlyEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			if asked, err := e.asked(cmd.Context()); asked {
				return err
			}
			return e.do(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&e.secure, "secure", false, "let the server fetch files of this host over HTTPS")
	e.generic.define(cmd)
	return cmd
}

func (e *envEdit) do(ctx context.Context, word string) error {
	s, err := e.session(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ref := parseEnvRef(word)
	before, err := ref.fetch(ctx, s)
	if err != nil {
		return err
	}
	if e.owner = ref.owner; e.owner == s.actor {
		e.owner = ""
	}
	text, err := before.Print()
	if err != nil {
		return err
	}
	file, err := keep(before.Name, text)
	if err != nil {
		return err
	}
	if err := e.edit(ctx, file); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	after, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read what was edited: %w", err)
	}
	if bytes.Equal(after, text) {
		fmt.Fprintln(e.app.Stderr, "Nothing was changed")
		return os.Remove(file)
	}
	added, err := e.register(ctx, s, before, after)
	if err != nil {
		return fmt.Errorf("%w\nYour text is kept in %s; when it is mended, register it with: kaenv3 -a %[2]s", err, file)
	}
	if e.json {
		err = json.NewEncoder(e.app.Stdout).Encode(added)
	} else if !e.dryRun {
		_, err = fmt.Fprintf(e.app.Stdout, "%s is registered\n", added)
	}
	return errors.Join(err, os.Remove(file))
}

// keep writes a text to a new file that its user alone reads.
func keep(name string, text []byte) (string, error) {
	safe := strings.Map(func(r rune) rune {
		if r == '/' || r == '*' || r < ' ' {
			return '_'
		}
		return r
	}, name)
	f, err := os.CreateTemp("", "kadeploy-"+safe+"-*.yml")
	if err != nil {
		return "", fmt.Errorf("file to edit: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("file to edit: %w", err)
	}
	return f.Name(), nil
}

// edit runs the user's editor, which may be a command with arguments.
func (e *envEdit) edit(ctx context.Context, file string) error {
	editor := cmp.Or(e.app.Getenv("VISUAL"), e.app.Getenv("EDITOR"), "vi")
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor+` "$1"`, "sh", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.app.Stdin, e.app.Stdout, e.app.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("editor %s: %w; nothing is changed (another editor: set EDITOR)", editor, err)
	}
	return nil
}

// register adds what the text describes as a new environment.
func (e *envEdit) register(ctx context.Context, s *session, before *registered, text []byte) (*registered, error) {
	d, warnings, err := env.Parse(text)
	for _, w := range warnings {
		fmt.Fprintf(e.app.Stderr, "Warning[env_desc]: %s\n", w)
	}
	if err != nil {
		return nil, err
	}
	if d.Name == before.Name && d.Version == before.Version {
		latest, err := envRef{name: before.Name, owner: before.User}.fetch(ctx, s)
		if err != nil {
			return nil, err
		}
		d.Version = max(latest.Version, before.Version) + 1
	}
	if err := absoluteFiles(d); err != nil {
		return nil, err
	}
	var added registered
	return &added, e.add(ctx, s, d, &added)
}
