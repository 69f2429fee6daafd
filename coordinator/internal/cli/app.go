package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/manual"
)

// App is one run of the program: where it reads and writes, and what it knows of its host.
type App struct {
	Name     string // as it was called; its base name chooses the command
	Version  string // of this program
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Debug    io.Writer // file descriptor 3 if it was open, else nil
	Trace    io.Writer // file descriptor 4 if it was open, else nil
	Getenv   func(string) string
	Home     string
	User     string                 // acting user (contract 1.1)
	Login    string                 // user that the kernel runs us as
	Password func() (string, error) // asks on the terminal
	Terminal func() (columns int)   // 0: the output is not a terminal; else its width now
	// Enter tells, until ctx ends, of each line that is typed on the terminal. It is
	// nil, or gives nil, if the input is none.
	Enter  func(ctx context.Context) <-chan struct{}
	Typing func() bool                        // whether the input is a terminal
	Raw    func() (restore func(), err error) // hands each key over as it is typed
}

// mistake is what the user did wrong, in whole sentences: they are shown as they are.
type mistake string

func (m mistake) Error() string { return string(m) }

func mistakef(format string, args ...any) mistake { return mistake(fmt.Sprintf(format, args...)) }

// exitError ends the program with a status, after an optional message.
type exitError struct {
	status int
	err    error // may be nil: nothing is left to say
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// Run runs the command line and returns the exit status. When ctx ends, a
// running operation is cancelled.
func (a *App) Run(ctx context.Context, args []string) int {
	root := a.root()
	args, err := a.rewrite(root, args)
	if err == nil {
		root.SetArgs(args)
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return 0
	}
	status, err := exitOf(ctx, err)
	if err != nil {
		fmt.Fprintln(a.Stderr, err)
	}
	return status
}

// descriptionCode is the status for a description that is wrong: as the server
// would have answered.
func descriptionCode(err error) (int, bool) {
	var invalid *env.Error
	if errors.As(err, &invalid) && invalid.Field != "" {
		return int(invalid.ApplicationCode()), true
	}
	return 0, false
}

// rewrite makes arguments in the original's manner plain ones (see plain).
func (a *App) rewrite(root *cobra.Command, args []string) ([]string, error) {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		plainUsage(root)
		return args, nil
	}
	if !root.HasSubCommands() {
		return plain(root.Flags(), args)
	}
	// The command's options stand behind its name; those of kadeploy itself before it.
	cmd, rest, err := root.Find(args)
	if err != nil {
		return args, nil // cobra says what is wrong
	}
	head := strings.Fields(cmd.CommandPath())[1:]
	rest, err = plain(cmd.Flags(), rest)
	return append(head, rest...), err
}

// originals are the commands of old, by name.
func (a *App) originals() map[string]func(string) *cobra.Command {
	return map[string]func(string) *cobra.Command{
		"kadeploy3":  a.deployCommand,
		"kaenv3":     a.envCommand,
		"kareboot3":  a.rebootCommand,
		"kapower3":   a.powerCommand,
		"kaconsole3": a.consoleCommand,
		"kanodes3":   a.nodesCommand,
		"kastat3":    a.statCommand,
		"karights3":  a.rightsCommand,
	}
}

func originalNames() []string { return sortedKeys((&App{}).originals()) }

// root is the command that the program's name stands for.
func (a *App) root() *cobra.Command {
	name := filepath.Base(a.Name)
	var root *cobra.Command
	if make := a.originals()[name]; make != nil {
		root = make(name)
	} else {
		root = a.kadeploy()
	}
	root.CompletionOptions.DisableDefaultCmd = true // ours knows all names
	root.SetUsageFunc(a.usage)
	root.DisableFlagsInUseLine = root.Runnable() && !root.HasSubCommands() // the line says [options] itself
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SilenceErrors = true
	root.SilenceUsage = true
	return root
}

// hint adds where to read which options there are.
func hint(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\n'%s --help' lists the options", err, cmd.CommandPath())
}

// kadeploy is the program under its own name.
func (a *App) kadeploy() *cobra.Command {
	root := &cobra.Command{
		Use:   "kadeploy",
		Short: "Deploy operating systems on bare-metal nodes",
		Long: `kadeploy installs operating systems on nodes, reboots them and switches their power.

Under the names kadeploy3, kaenv3, kareboot3, kapower3, kaconsole3, kanodes3,
karights3 and kastat3 this program behaves like the command of that name.

` + exitCodes,
	}
	statistics := a.statCommand("stat")
	statistics.AddCommand(a.statSummaryCommand())
	root.AddCommand(
		a.deployCommand("deploy"),
		a.envCommand("env"),
		a.rebootCommand("reboot"),
		a.powerCommand("power"),
		a.consoleCommand("console"),
		a.nodesCommand("nodes"),
		a.rightsCommand("rights"),
		statistics,
		a.watchCommand(),
		a.timelineCommand(),
		a.completionCommand(),
		a.manCommand(),
	)
	for _, cmd := range root.Commands() { // under this name they are called with two words
		cmd.Example = strings.ReplaceAll(cmd.Example, "  "+cmd.Name()+" ", "  "+root.Name()+" "+cmd.Name()+" ")
		cmd.DisableFlagsInUseLine = true
		for _, sub := range cmd.Commands() {
			sub.DisableFlagsInUseLine = true
		}
	}
	g := &generic{app: a}
	g.define(root)
	root.Args = manual.Words()
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if asked, err := g.asked(cmd.Context()); asked {
			return err
		}
		return cmd.Help()
	}
	return root
}

// exitCodes is the part of the help on exit statuses (contract 1.1).
const exitCodes = `Exit status:
  0   the command did its work; nodes that failed do not change it: read the lists
  1   a wrong option, a missing file, no server, no such resource, or interrupted
  2   the server refused the request
  3   the server failed
  50  with --fail-if-any: a node failed
  N   the server's application error N: 2 nodes, 4 option, 5 file, 6 rights,
      7 environment, 8 custom operation, 9 VLAN, 10 exists, 11 conflict, 12 missing
      option, 13 conflicting options, 14 nothing modified, 15 command, 20 database,
      21 cache, 22 cache full, 30 destructive environment`
