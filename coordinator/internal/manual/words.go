package manual

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Words checks that a command is given its words and no others. The names are
// those of its usage line, as FILE; each must be there.
func Words(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := misplaced(cmd, args, names); err != nil {
			return fmt.Errorf("%w\n'%s --help' tells more", err, cmd.CommandPath())
		}
		return nil
	}
}

func misplaced(cmd *cobra.Command, args, names []string) error {
	switch {
	case len(args) < len(names):
		return errors.New("missing: " + strings.Join(names[len(args):], " "))
	case len(args) == len(names):
		return nil
	}
	word := args[len(names)]
	if len(names) > 0 || !cmd.HasAvailableSubCommands() {
		return fmt.Errorf("%q is one word too many", word)
	}
	err := fmt.Errorf("there is no command %q", word)
	if cmd.SuggestionsMinimumDistance = 2; len(cmd.SuggestionsFor(word)) > 0 {
		err = fmt.Errorf("%w; is it %s?", err, strings.Join(cmd.SuggestionsFor(word), " or "))
	}
	return err
}
