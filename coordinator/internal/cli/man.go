package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
)

// manCommand is kadeploy man, which packagers and make use.
func (a *App) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages of all commands, under all their names",
		Long:  "Write the manual pages of all commands, under all their names, into a directory.",
		Args:  manual.Words("DIRECTORY"),
		RunE:  func(_ *cobra.Command, args []string) error { return a.writePages(args[0]) },
	}
}

var manNotes = []manual.Note{
	{Title: "FILES", Text: `/etc/kadeploy3/client.conf   the servers (YAML): default, and a list of name, hostname, port, secure or name, socket
/run/kadeploy/kadeployd.sock the server on this host`},
	{Title: "ENVIRONMENT", Text: `KADEPLOY3_CONFIG_DIR         the directory of client.conf
KADEPLOY_SOCKET              the socket of the server, before the default of client.conf
KADEPLOY3_VERSION            what --version prints, instead of asking the server
OAR_FILE_NODES, OAR_NODE_FILE, OAR_NODEFILE, SLURM_JOB_NODELIST
                             the nodes of the job, if none are chosen
USER                         who you are, for servers on other hosts
EDITOR, VISUAL               for kadeploy env edit
NO_COLOR                     no colours on the terminal`},
}

func (a *App) writePages(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("manual pages: %w", err)
	}
	var roots []*cobra.Command
	for _, name := range append([]string{"kadeploy"}, originalNames()...) {
		as := *a
		as.Name = name
		roots = append(roots, as.root())
	}
	see := []string{"kadeploy(1)"}
	for _, name := range originalNames() {
		see = append(see, name+"(1)")
	}
	for _, root := range roots {
		if err := a.writeTree(dir, root, append(slices.Clone(see), "kadeployd(8)")); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) writeTree(dir string, cmd *cobra.Command, see []string) error {
	own := manual.Name(cmd) + "(1)"
	f, err := os.Create(filepath.Join(dir, manual.Name(cmd)+".1"))
	if err != nil {
		return fmt.Errorf("manual pages: %w", err)
	}
	err = manual.Write(f, cmd, manual.Page{
		Section: "1", Source: "kadeploy " + a.Version, Notes: manNotes,
		See: slices.DeleteFunc(slices.Clone(see), func(s string) bool { return s == own }),
	})
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("manual page of %s: %w", cmd.CommandPath(), err)
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			if err := a.writeTree(dir, sub, see); err != nil {
				return err
			}
		}
	}
	return nil
}
