package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
)

// registry is kaenv3 (contract 1.6).
type registry struct {
	generic
	list, print, fromFile, remove string
	setVisibility, destructive    string
	imageSum, preSum, postSum     string
	move                          bool
	moves                         string
	allVersions                   bool
	owner, version, arch, visible string
	yes, secure                   bool
}

func (a *App) envCommand(name string) *cobra.Command {
	r := &registry{generic: generic{app: a}}
	cmd := &cobra.Command{
		Use:   name + " -l|-p NAME|-a FILE|-d NAME|... [options]",
		Short: "Manage the registered environments",
		Long:  "List, print, add, delete and change the environments of the registry.\n\n" + exitCodes,
		Example: fmt.Sprintf(`  %[1]s -l 'debian%%'
  %[1]s -p debian12-min -u deploy > my.dsc
  %[1]s -a my.dsc`, name),
		Args: manual.Words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked, err := r.asked(cmd.Context()); asked {
				return err
			}
			return r.do(cmd.Context(), cmd)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	optional(cmd, &r.list, "list", "l", "PATTERN", "%", "list the environments whose name fits the pattern; % stands for anything")
	fs.StringVarP(&r.print, "print", "p", "", "print the descriptions of the environment `NAME`")
	fs.StringVarP(&r.fromFile, "add", "a", "", "register the environment that a `FILE` or a URL describes")
	fs.StringVarP(&r.remove, "delete", "d", "", "delete the environment `NAME`: its latest version, or those that -s or --env-version choose")
	fs.StringVar(&r.setVisibility, "set-visibility-tag", "", "give the environment `NAME` the visibility of -t")
	fs.StringVar(&r.destructive, "toggle-destructive-tag", "", "make the environment `NAME` destructive, or no longer")
	fs.StringVar(&r.imageSum, "update-image-checksum", "", "read the image of `NAME` again")
	fs.StringVar(&r.preSum, "update-preinstall-checksum", "", "read the preinstall of `NAME` again")
	fs.StringVar(&r.postSum, "update-postinstalls-checksum", "", "read the postinstalls of `NAME` again")
	fs.BoolVar(&r.move, "move-files", false, "change the paths of files as -m says, in all environments (administrators)")
	fs.StringVarP(&r.moves, "files-to-move", "m", "", "how paths begin and are to begin: `OLD::NEW,...`")
	fs.BoolVarP(&r.allVersions, "all-versions", "s", false, "of all versions, not only the latest")
	fs.StringVarP(&r.owner, "env-user", "u", "", "of this `USER`")
	fs.StringVar(&r.version, "env-version", "", "of the version `NUMBER`")
	fs.StringVar(&r.arch, "env-arch", "", "for this `ARCH`: x86_64, ppc64le or aarch64")
	fs.StringVarP(&r.visible, "visibility-tag", "t", "", "the `VISIBILITY`: public, private or shared")
	fs.BoolVar(&r.yes, "yes", false, "delete without asking; it is asked on a terminal only")
	fs.BoolVar(&r.secure, "secure", false, "let the server fetch files of this host over HTTPS")
	r.generic.define(cmd)
	if name == "env" { // under the old name a pattern may follow -l
		cmd.AddCommand(a.envEditCommand(), a.envDiffCommand())
	}
	return cmd
}

// do runs the one action that the options name.
func (r *registry) do(ctx context.Context, cmd *cobra.Command) error {
	if r.version != "" {
		if _, err := wholeNumber(r.version); err != nil {
			return fmt.Errorf("--env-version %s: %w", r.version, err)
		}
	}
	actions := map[string]func(context.Context, *session) error{
		"list":  r.doList,
		"print": r.doPrint,
		"add":   r.doAdd, "delete": r.doDelete,
		"move-files": r.doMove,
		"set-visibility-tag": func(ctx context.Context, s *session) error {
			return r.change(ctx, s, r.setVisibility, "visibility", r.visible)
		},
		"toggle-destructive-tag": func(ctx context.Context, s *session) error {
			return r.change(ctx, s, r.destructive, "toggle_destructive", true)
		},
		"update-image-checksum": func(ctx context.Context, s *session) error {
			return r.change(ctx, s, r.imageSum, "update_image_checksum", true)
		},
		"update-preinstall-checksum": func(ctx context.Context, s *session) error {
			return r.change(ctx, s, r.preSum, "update_preinstall_checksum", true)
		},
		"update-postinstalls-checksum": func(ctx context.Context, s *session) error {
			return r.change(ctx, s, r.postSum, "update_postinstalls_checksum", true)
		},
	}
	var given []string
	for _, name := range sortedKeys(actions) {
		if cmd.Flags().Changed(name) {
			given = append(given, name)
		}
	}
	switch {
	case len(given) == 0:
		return mistakef("Say what to do: -l, -p, -a, -d, ... ('%s --help' lists all)", cmd.CommandPath())
	case len(given) > 1:
		return fmt.Errorf("--%s cannot be given together", strings.Join(given, " and --"))
	case given[0] == "set-visibility-tag" && r.visible == "":
		return errors.New("--set-visibility-tag needs the visibility: give it with -t")
	}
	return r.each(ctx, actions[given[0]])
}
