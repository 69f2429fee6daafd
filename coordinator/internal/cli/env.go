package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/env"
)

// registry is kaenv3 (contract 1.6).
type registry struct {
	generic
	list, print, add, remove      string
	setVisibility, destructive    string
	imageSum, preSum, postSum     string
	move                          bool
	moves                         string
	allVersions                   bool
	owner, version, arch, visible string
	yes, json                     bool
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
		Args: cobra.NoArgs,
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
	fs.StringVarP(&r.add, "add", "a", "", "register the environment that a `FILE` or a URL describes")
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
	fs.BoolVar(&r.yes, "yes", false, "do not ask (nothing is asked)")
	fs.BoolVar(&r.json, "json", false, "print one JSON object per line")
	r.generic.define(cmd)
	return cmd
}

// do runs the one action that the options name.
func (r *registry) do(ctx context.Context, cmd *cobra.Command) error {
	if r.version != "" {
		if _, err := wholeNumber(r.version); err != nil {
			return fmt.Errorf("--env-version %s: %w", r.version, err)
		}
	}
	actions := map[string]func(context.Context, *client.Client) error{
		"list":  r.doList,
		"print": r.doPrint,
		"add":   r.doAdd, "delete": r.doDelete,
		"move-files": r.doMove,
		"set-visibility-tag": func(ctx context.Context, c *client.Client) error {
			return r.change(ctx, c, r.setVisibility, "visibility", r.visible)
		},
		"toggle-destructive-tag": func(ctx context.Context, c *client.Client) error {
			return r.change(ctx, c, r.destructive, "toggle_destructive", true)
		},
		"update-image-checksum": func(ctx context.Context, c *client.Client) error {
			return r.change(ctx, c, r.imageSum, "update_image_checksum", true)
		},
		"update-preinstall-checksum": func(ctx context.Context, c *client.Client) error {
			return r.change(ctx, c, r.preSum, "update_preinstall_checksum", true)
		},
		"update-postinstalls-checksum": func(ctx context.Context, c *client.Client) error {
			return r.change(ctx, c, r.postSum, "update_postinstalls_checksum", true)
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
	c, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return actions[given[0]](ctx, c)
}

// query selects the environments that the options and a name mean.
func (r *registry) query(name string) url.Values {
	q := make(url.Values)
	for key, value := range map[string]string{"name": name, "username": r.owner, "version": r.version, "arch": r.arch} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if !r.allVersions && r.version == "" {
		q.Set("last", "true")
	}
	return q
}

func (r *registry) find(ctx context.Context, c *client.Client, name string) ([]registered, error) {
	var found []registered
	err := c.Get(ctx, "/environments", r.query(name), &found)
	var answer *client.Error
	if errors.As(err, &answer) && answer.Status == 404 {
		return nil, nil
	}
	return found, err
}

func (r *registry) doList(ctx context.Context, c *client.Client) error {
	pattern := r.list
	if pattern == "%" {
		pattern = ""
	}
	found, err := r.find(ctx, c, pattern)
	if err != nil {
		return err
	}
	if r.json {
		return r.encode(found)
	}
	_, err = io.WriteString(r.app.Stdout, listing(found))
	return err
}

func (r *registry) encode(all []registered) error {
	enc := json.NewEncoder(r.app.Stdout)
	for _, e := range all {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

// Widths of the list's columns, and of a line (contract 1.6).
const (
	nameWidth        = 21
	versionWidth     = 7
	userWidth        = 11
	descriptionWidth = 35
	lineWidth        = 80
)

// listing is the list of environments: two lines of headers, then one for each.
func listing(all []registered) string {
	if len(all) == 0 {
		return "No environment has been found\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s %-*s %-*s %s\n", nameWidth, "Name", versionWidth, "Version", userWidth, "User", "Description")
	hashes := func(n int) string { return strings.Repeat("#", n) }
	fmt.Fprintf(&b, "%-*s %-*s %-*s %s\n", nameWidth, hashes(4), versionWidth, hashes(7), userWidth, hashes(4), hashes(11))
	for _, e := range all {
		head := fmt.Sprintf("%-*s %-*d %-*s ", nameWidth, e.Name, versionWidth, e.Version, userWidth, e.User)
		line := head + cut(e.Description.Description, max(lineWidth-utf8.RuneCountInString(head), 3))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// cut shortens a text to a number of characters, the last of them being dots.
func cut(text string, width int) string {
	runes := []rune(strings.ReplaceAll(text, "\n", " "))
	if len(runes) <= width {
		return string(runes)
	}
	return string(runes[:width-3]) + "..."
}

func (r *registry) doPrint(ctx context.Context, c *client.Client) error {
	found, err := r.find(ctx, c, r.print)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return r.notFound(r.print)
	}
	if r.json {
		return r.encode(found)
	}
	for _, e := range found {
		text, err := e.Description.Print()
		if err != nil {
			return err
		}
		if _, err := r.app.Stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func (r *registry) notFound(name string) error {
	wanted := environment{name: name, owner: r.owner, version: r.version, arch: r.arch}
	return mistakef("The environment %s cannot be found; -l lists those that you may see", &wanted)
}

func (r *registry) doAdd(ctx context.Context, c *client.Client) error {
	d, err := readDescription(ctx, r.app, r.add)
	if err != nil {
		return err
	}
	m, err := asMap(d)
	if err != nil {
		return err
	}
	if r.owner != "" {
		m["user"] = r.owner
	}
	body := map[string]any{"environment": m}
	if r.dryRun {
		body["dry_run"] = true
	}
	return r.lending(ctx, c, d, body, func() error { return c.Post(ctx, "/environments/", body, nil) })
}

// lending does what makes the server read the files of an environment, while
// those of this host are lent to it.
func (r *registry) lending(ctx context.Context, c *client.Client, d *env.Description, body map[string]any, do func() error) error {
	var paths []string
	for _, uri := range urisOf(d) {
		if path, ok := client.Local(uri); ok {
			paths = append(paths, path)
		}
	}
	if len(paths) > 0 {
		export, err := c.Export(ctx, paths)
		if err != nil {
			return err
		}
		defer export.Close()
		body["client"] = export.Base()
	}
	return do()
}

// address is the path of an environment, and the parameters that go with it.
func (r *registry) address(name string) (string, map[string]any) {
	owner := r.owner
	if owner == "" {
		owner = r.actor
	}
	parts := []string{"environments", owner, name}
	body := make(map[string]any)
	switch {
	case r.version != "":
		parts = append(parts, r.version)
	case !r.allVersions:
		body["last"] = true
	}
	if r.arch != "" {
		body["arch"] = r.arch
	}
	if r.dryRun {
		body["dry_run"] = true
	}
	return client.PathOf(parts...), body
}

func (r *registry) doDelete(ctx context.Context, c *client.Client) error {
	path, body := r.address(r.remove)
	return c.Delete(ctx, path, body, nil)
}

func (r *registry) change(ctx context.Context, c *client.Client, name, what string, value any) error {
	path, body := r.address(name)
	body[what] = value
	put := func() error { return c.Put(ctx, path, body, nil) }
	if !strings.HasSuffix(what, "_checksum") {
		return put()
	}
	found, err := r.find(ctx, c, name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return r.notFound(name)
	}
	return r.lending(ctx, c, &found[0].Description, body, put)
}

func (r *registry) doMove(ctx context.Context, c *client.Client) error {
	moves := make(map[string]string)
	for item := range strings.SplitSeq(r.moves, ",") {
		from, to, ok := strings.Cut(item, "::")
		if !ok || from == "" || to == "" {
			return mistakef("-m %q: the form is OLD::NEW,...", r.moves)
		}
		moves[from] = to
	}
	body := map[string]any{"update_files": moves}
	if r.dryRun {
		body["dry_run"] = true
	}
	var changed []registered
	if err := c.Put(ctx, "/environments", body, &changed); err != nil {
		return err
	}
	for _, e := range changed {
		fmt.Fprintf(r.app.Stdout, "%s v%d\n", e.Name, e.Version)
	}
	return nil
}
