package manual

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Option is one option as people type it.
type Option struct {
	Short    string // one letter, or empty
	Long     string // no-x for a switch that is on unless it is said otherwise
	Argument string // empty: it takes none
	Optional bool   // the argument may be left out
	Usage    string
}

// Options are the options of a command, in the order of their definition.
func Options(cmd *cobra.Command) []Option {
	var all []Option
	cmd.InitDefaultHelpFlag()
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) { all = appendOption(all, f) })
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { all = appendOption(all, f) })
	return all
}

func appendOption(all []Option, f *pflag.Flag) []Option {
	if f.Hidden {
		return all
	}
	argument, usage := pflag.UnquoteUsage(f)
	o := Option{Short: f.Shorthand, Long: f.Name, Argument: argument, Usage: usage}
	switch {
	case f.Value.Type() == "bool" && f.DefValue == "true":
		o.Long, o.Argument = "no-"+f.Name, ""
	case f.Value.Type() == "bool":
		o.Argument = ""
	default:
		o.Optional = f.NoOptDefVal != ""
	}
	return append(all, o)
}

// Names is how the option is typed: -k, --key [FILE].
func (o Option) Names() string {
	names := "    --" + o.Long
	if o.Short != "" {
		names = "-" + o.Short + ", --" + o.Long
	}
	switch {
	case o.Optional:
		names += " [" + o.Argument + "]"
	case o.Argument != "":
		names += " " + o.Argument
	}
	return names
}

// widest is up to how many columns the names of options have beside the texts.
const widest = 34

// Table lists options with their texts, in lines of at most width columns.
func Table(all []Option, width int) string {
	column := 0
	for _, o := range all {
		if n := len(o.Names()); n <= widest {
			column = max(column, n)
		}
	}
	var b strings.Builder
	for _, o := range all {
		names := "  " + o.Names()
		lines := wrap(o.Usage, max(width-column-4, 20))
		if len(names) > column+2 { // the text begins below
			b.WriteString(names + "\n")
			names = ""
		}
		for _, line := range lines {
			b.WriteString(strings.TrimRight(names+strings.Repeat(" ", column+4-len(names))+line, " ") + "\n")
			names = ""
		}
	}
	return b.String()
}

// wrap breaks a text into lines of at most width characters, where it has blanks.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
