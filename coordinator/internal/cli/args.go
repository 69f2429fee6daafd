package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// plain rewrites arguments in the manner of the original's option parser (Ruby's)
// so that pflag reads them the same way:
//
//   - the argument of an option may be optional; the next word is it unless it
//     starts with "-": in "-k -d -e X" the option -k has none;
//   - a mandatory argument is the next word whatever it starts with;
//   - --no-x is the contrary of a switch --x;
//   - a long option may be abbreviated as long as only one starts so.
//
// What it does not know it leaves as it is, for pflag to complain about.
func plain(fs *pflag.FlagSet, args []string) ([]string, error) {
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return append(out, args[i:]...), nil
		case strings.HasPrefix(arg, "--"):
			word, used, err := plainLong(fs, arg, args[i+1:])
			if err != nil {
				return nil, err
			}
			out = append(out, word...)
			i += used
		case len(arg) > 1 && arg[0] == '-':
			words, used := plainShort(fs, arg, args[i+1:])
			out = append(out, words...)
			i += used
		default:
			out = append(out, arg)
		}
	}
	return out, nil
}

func plainLong(fs *pflag.FlagSet, arg string, next []string) (words []string, used int, err error) {
	name, value, given := strings.Cut(arg[2:], "=")
	f, negated, err := longFlag(fs, name)
	if err != nil || f == nil {
		return []string{arg}, 0, err
	}
	switch {
	case negated && given:
		return nil, 0, fmt.Errorf("--%s takes no value", name)
	case negated:
		return []string{"--" + f.Name + "=false"}, 0, nil
	case given:
		return []string{"--" + f.Name + "=" + value}, 0, nil
	}
	words, used = withArgument(f, next)
	return words, used, nil
}

// longFlag finds an option by its name, its negation or an abbreviation.
func longFlag(fs *pflag.FlagSet, name string) (f *pflag.Flag, negated bool, err error) {
	if f := fs.Lookup(name); f != nil {
		return f, false, nil
	}
	if name == "help" || name == "" {
		return nil, false, nil
	}
	var found []string
	fs.VisitAll(func(g *pflag.Flag) {
		names := []string{g.Name}
		if isSwitch(g) {
			names = append(names, "no-"+g.Name)
		}
		for _, n := range names {
			switch {
			case n == name:
				f, negated, found = g, n != g.Name, []string{n}
			case strings.HasPrefix(n, name) && (f == nil || !slices.Contains(found, name)):
				f, negated = g, n != g.Name
				found = append(found, n)
			}
		}
	})
	if len(found) > 1 && !slices.Contains(found, name) {
		return nil, false, fmt.Errorf("--%s is ambiguous: it may be --%s", name, strings.Join(found, ", --"))
	}
	return f, negated, nil
}

func isSwitch(f *pflag.Flag) bool { return f.Value.Type() == "bool" }

// withArgument writes an option together with its argument, if it takes one.
func withArgument(f *pflag.Flag, next []string) (words []string, used int) {
	name := "--" + f.Name
	optional := f.NoOptDefVal != ""
	switch {
	case isSwitch(f), len(next) == 0, optional && strings.HasPrefix(next[0], "-"):
		return []string{name}, 0
	}
	if f.Name == "breakpoint" && len(next) > 1 && strings.HasPrefix(next[1], ":") {
		return []string{name + "=" + next[0] + next[1]}, 2 // as users' guides print it, with a stray space
	}
	return []string{name + "=" + next[0]}, 1
}

// plainShort takes a cluster of one-letter options apart: -dk, -kFILE, -m HOST.
func plainShort(fs *pflag.FlagSet, arg string, next []string) (words []string, used int) {
	for i := 1; i < len(arg); i++ {
		f := fs.ShorthandLookup(arg[i : i+1])
		if f == nil {
			return append(words, "-"+arg[i:]), 0
		}
		rest := arg[i+1:]
		switch {
		case isSwitch(f):
			words = append(words, "--"+f.Name)
		case rest != "":
			return append(words, "--"+f.Name+"="+rest), 0
		default:
			more, used := withArgument(f, next)
			return append(words, more...), used
		}
	}
	return words, 0
}
