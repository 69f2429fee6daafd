package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
)

// Widths of the help, in columns.
const (
	helpWidth = 100 // where nobody knows better
	helpMost  = 130
)

// usage writes the second half of a command's help: how it is called, its options.
func (a *App) usage(cmd *cobra.Command) error {
	width := helpWidth
	if a.Terminal != nil && a.Terminal() > 0 {
		width = min(a.Terminal(), helpMost)
	}
	var b strings.Builder
	b.WriteString("Usage:\n")
	if cmd.Runnable() && (cmd.HasParent() || !cmd.HasSubCommands()) {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND [options]\n\nCommands:\n", cmd.CommandPath())
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-12s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	fmt.Fprintf(&b, "\nOptions:\n%s", manual.Table(manual.Options(cmd), width))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n'%s COMMAND --help' tells about a command.\n", cmd.CommandPath())
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
	return err
}
