package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	usageLine = "kascade -i PATH (-o PATH | -O CMD) (-N NODES | -n FILE) [options]"
	brief     = "Put one file or directory on many hosts through a chain of TCP connections"
)

// about is the long text of the help and of the manual page.
const about = `Each host passes the bytes on to the next while they come, so that all have their copy
after about the time that one takes. Every copy is verified before it counts.

  kascade -i image.raw -o /srv/image.raw -N node-[1-64]
      copies itself to the nodes with your ssh, runs there, and leaves only the file
  kascade -i /srv/www -o /srv/www -n nodes.txt -k ok.yaml -K ko.yaml
      a directory, and lists of those that have it and of those that do not
  zstdcat disk.zst | kascade -i - -O 'dd of=/dev/sda bs=1M' -N node-[1-64]
      what a command prints, into a command on each node

Without ssh (-D none) the same list is given to the head and to each node:
  kascade -D none -N h1,h2,h3 --key-file KEY -i FILE           on the host with the file
  kascade -D none -N h1,h2,h3 --key-file KEY -m HEAD -o FILE   on h1, h2 and h3`

// exits is the help's last part.
const exits = `Exit code of the head: 0 every node has a verified copy; 2 some nodes failed; 1 all of them
failed, or the head itself; 3 after a second ^C (the first one stops in order). Of a node: 0 or 1.`

func (o *options) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:           strings.TrimPrefix(usageLine, ""),
		Short:         brief,
		Long:          brief + ".\n" + about,
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.given = cmd.Flags().Changed
			if err := o.check(); err != nil {
				return err
			}
			if o.isHead() {
				return o.runHead(cmd.Context())
			}
			return o.runNode(cmd.Context())
		},
	}
	cmd.SetVersionTemplate("kascade {{.Version}}\n")
	cmd.Flags().SortFlags = false
	for _, g := range o.groups() {
		cmd.Flags().AddFlagSet(g.flags)
	}
	cmd.Flags().BoolP("help", "h", false, "this text")
	cmd.Flags().Bool("version", false, "print the version")
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(o.benchCommand(), o.attendCommand(), manCommand())
	cmd.SetHelpCommand(&cobra.Command{Hidden: true})
	helpOfOthers := cmd.HelpFunc()
	cmd.SetHelpFunc(func(c *cobra.Command, args []string) {
		if c == cmd {
			fmt.Fprint(c.OutOrStdout(), o.help())
			return
		}
		helpOfOthers(c, args)
	})
	complete(cmd)
	return cmd
}

// help is the text of --help.
func (o *options) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n%s\n\nUsage: %s\n       kascade bench | completion bash|zsh|fish | man\n", brief, about, usageLine)
	for _, g := range (&options{}).groups() {
		fmt.Fprintf(&b, "\n%s:\n%s", g.title, g.flags.FlagUsagesWrapped(100))
	}
	fmt.Fprintf(&b, "\n  -h, --help      this text\n      --version   print the version\n\n%s\n", exits)
	return b.String()
}

// group is a part of the options under a title.
type group struct {
	title string
	flags *pflag.FlagSet
}

// complete tells the shells what the values of options are.
func complete(cmd *cobra.Command) {
	for name, values := range map[string][]string{
		"deploy": {"ssh", "none"}, "slow": {"side", "wait", "drop"}, "compress": {"auto", "on", "off"},
		"verbose": {"fatal", "error", "warn", "info", "debug"},
	} {
		cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	for _, name := range []string{"node", "output-cmd", "ssh", "params", "master", "index", "port", "retry", "retry2", "timeout"} {
		cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}
