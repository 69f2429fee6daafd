package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/manual"
)

// completionLimit is how long the server may take to tell names to a shell: who
// presses Tab does not wait.
const completionLimit = 2 * time.Second

// completionCommand prints the completion for a shell, under all names of the program.
func (a *App) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion of all commands for a shell",
		Long: `Print the completion for a shell: options, and the names of environments, nodes, servers and
operations, for kadeploy and for the commands of old. Names are asked from the server.

To use it, add to ~/.bashrc or ~/.zshrc the line
  source <(kadeploy completion bash)
with the shell's name, or for fish write
  kadeploy completion fish >~/.config/fish/completions/kadeploy.fish`,
		Args:      manual.Words("bash|zsh|fish"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			script, err := completionScript(cmd.Root(), args[0])
			if err != nil {
				return err
			}
			_, err = a.Stdout.Write(script)
			return err
		},
	}
}

var (
	bashComplete = regexp.MustCompile(`(?m)^( *complete -o .* -F __start_kadeploy) kadeploy$`)
	zshCompdef   = regexp.MustCompile(`(?m)^(#?compdef(?: _kadeploy)?) kadeploy$`)
	fishComplete = regexp.MustCompile(`(?m)^complete .*-c kadeploy .*$`)
)

// bashParts stand in for the package bash-completion, where it is not installed.
const bashParts = `if ! declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref() {
        words=("${COMP_WORDS[@]}")
        cword=$COMP_CWORD
        cur=${COMP_WORDS[COMP_CWORD]}
        prev=${COMP_WORDS[COMP_CWORD-1]}
    }
fi
if ! declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions() { :; }
fi

`

// completionScript is cobra's script, for the old names too: it calls the
// program under the name that was typed.
func completionScript(root *cobra.Command, shell string) ([]byte, error) {
	var b bytes.Buffer
	names := strings.Join(append([]string{"kadeploy"}, originalNames()...), " ")
	switch shell {
	case "bash":
		b.WriteString(bashParts)
		err := root.GenBashCompletionV2(&b, true)
		return bashComplete.ReplaceAll(b.Bytes(), []byte("$1 "+names)), err
	case "zsh":
		err := root.GenZshCompletion(&b)
		return zshCompdef.ReplaceAll(b.Bytes(), []byte("$1 "+names)), err
	case "fish":
		if err := root.GenFishCompletion(&b, true); err != nil {
			return nil, err
		}
		lines := fishComplete.FindAllString(b.String(), -1)
		for _, name := range originalNames() {
			fmt.Fprintln(&b)
			for _, line := range lines {
				fmt.Fprintln(&b, strings.Replace(line, "-c kadeploy ", "-c "+name+" ", 1))
			}
		}
		return b.Bytes(), nil
	}
	return nil, mistakef("%s: the shells are bash, zsh and fish", shell)
}

// plainUsage takes the marks of arguments out of the texts of options, as shells
// show them as they are.
func plainUsage(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) })
	for _, sub := range cmd.Commands() {
		plainUsage(sub)
	}
}

// completer gives the words that may stand at a place.
type completer = func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective)

// completeArguments says what the arguments of options are.
func (g *generic) completeArguments(cmd *cobra.Command) {
	words := map[string]completer{
		"env-name": g.environments, "print": g.environments, "delete": g.environments, "list": g.environments,
		"set-visibility-tag": g.environments, "toggle-destructive-tag": g.environments, "update-image-checksum": g.environments,
		"update-preinstall-checksum": g.environments, "update-postinstalls-checksum": g.environments,
		"machine": g.nodes, "server": g.servers, "workflow-id": g.operations, "resume": g.deployments,
		"reboot-kind":    fixed("simple", "set_pxe", "deploy_env", "recorded_env"),
		"op-level":       fixed("soft", "hard", "very_hard"),
		"env-arch":       fixed("x86_64", "ppc64le", "aarch64"),
		"visibility-tag": fixed("private", "shared", "public"),
		"verbose-level":  fixed("0", "1", "2", "3", "4", "5"),
		"operation":      fixed("deploy", "reboot", "power"),
		"breakpoint":     fixed("SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"),
		"part":           fixed(), "user": fixed(), "env-user": fixed(), "env-version": fixed(), "vlan": fixed(),
	}
	for name, complete := range words {
		if cmd.Flags().Lookup(name) != nil {
			cmd.RegisterFlagCompletionFunc(name, complete) // fails only if it is done twice
		}
	}
}

func fixed(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// ask gets something of the server for a completion, in silence and soon.
func (g *generic) ask(cmd *cobra.Command, path string, query url.Values, out any) bool {
	if g.password == "-" {
		return false // it would be asked for
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
	defer cancel()
	s, err := g.session(ctx)
	if err != nil {
		return false
	}
	defer s.Close()
	return s.Get(ctx, path, query, out) == nil
}

// environments are the names in the registry, with their descriptions.
func (g *generic) environments(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
	var found []registered
	query := url.Values{"last": {"true"}}
	if f := cmd.Flags().Lookup("env-user"); f != nil && f.Value.String() != "" {
		query.Set("username", f.Value.String())
	}
	g.ask(cmd, "/environments", query, &found)
	var words []string
	for _, e := range found {
		if strings.HasPrefix(e.Name, start) {
			words = append(words, e.Name+"\t"+cut(strings.Join(strings.Fields(e.Description.Description), " "), 60))
		}
	}
	return unique(words), cobra.ShellCompDirectiveNoFileComp
}

// onlyEnvironment completes the one word that is no option.
func (g *generic) onlyEnvironment(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.environments(cmd, args, start)
}

func (g *generic) nodes(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
	var names []string
	g.ask(cmd, "/nodes", url.Values{"user": {g.app.User}, "list": {"true"}}, &names)
	var words []string
	for _, n := range names {
		if strings.HasPrefix(n, start) {
			words = append(words, n)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (g *generic) servers(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cfg, err := client.LoadConfig(client.PlacesFromEnv(g.app.Getenv).ConfigDir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, s := range cfg.Servers {
		words = append(words, s.Name+"\t"+s.String())
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// operations are the IDs of what the server runs, or ran not long ago.
func (g *generic) operations(cmd *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
	return g.idsOf(cmd, start, "/deployment", "/reboot", "/power")
}

// deployments are the IDs of operations that are deployments.
func (g *generic) deployments(cmd *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
	return g.idsOf(cmd, start, "/deployment")
}

func (g *generic) idsOf(cmd *cobra.Command, start string, paths ...string) ([]string, cobra.ShellCompDirective) {
	var words []string
	for _, path := range paths {
		var found []struct {
			ID   string `json:"wid"`
			User string `json:"user"`
			Done bool   `json:"done"`
		}
		if !g.ask(cmd, path, nil, &found) {
			break
		}
		for _, op := range found {
			state := "runs"
			if op.Done {
				state = "is over"
			}
			if strings.HasPrefix(op.ID, start) {
				words = append(words, fmt.Sprintf("%s\t%s of %s, %s", op.ID, strings.TrimPrefix(path, "/"), op.User, state))
			}
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
