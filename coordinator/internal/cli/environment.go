package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/env"
)

// environment are the options that choose what is deployed.
type environment struct {
	name    string
	file    string
	owner   string
	version string
	arch    string
}

func (e *environment) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&e.name, "env-name", "e", "", "the environment of the registry with this `NAME`")
	fs.StringVarP(&e.owner, "env-user", "u", "", "of this `USER`; otherwise of yours, then of public ones")
	fs.StringVar(&e.version, "env-version", "", "the `NUMBER` of its version; otherwise the latest")
	fs.StringVar(&e.arch, "env-arch", "", "for this `ARCH`: x86_64, ppc64le or aarch64")
}

// complete finds the environment in the server's registry and adds it to an order.
func (e *environment) complete(ctx context.Context, s *session, r *order) error {
	query := url.Values{"last": {"true"}, "name": {e.name}}
	if e.owner != "" {
		query.Set("username", e.owner)
	}
	if e.version != "" {
		if _, err := wholeNumber(e.version); err != nil {
			return fmt.Errorf("--env-version %s: %w", e.version, err)
		}
		query.Set("version", e.version)
		query.Del("last")
	}
	if e.arch != "" {
		query.Set("arch", e.arch)
	}
	var found []registered
	err := s.Get(ctx, "/environments", query, &found)
	var answer *client.Error
	if errors.As(err, &answer) && answer.Status == 404 || err == nil && len(found) == 0 {
		return mistakef("The environment %s cannot be found; kaenv3 -l lists those that you may use", e)
	}
	if err != nil {
		return err
	}
	best := found[0]
	for _, f := range found {
		if e.owner == "" && f.User == s.actor && best.User != s.actor {
			best = f
		}
	}
	ref := map[string]any{"kind": "database", "user": best.User, "name": best.Name, "version": best.Version}
	if e.arch != "" {
		ref["arch"] = e.arch
	}
	r.body["environment"] = ref
	uris := urisOf(&best.Description)
	r.uris = append(r.uris, uris...)
	for _, uri := range uris {
		if path, ok := client.Local(uri); ok && !s.usual {
			fmt.Fprintf(s.notes, "Warning: the environment %s has the file %s, which is taken from this host although %s is not the default server\n", best.Name, path, s.Server().Name)
		}
	}
	return nil
}

func (e *environment) String() string {
	text := e.name
	if e.version != "" {
		text += " version " + e.version
	}
	if e.arch != "" {
		text += " for " + e.arch
	}
	if e.owner != "" {
		text += " of user " + e.owner
	}
	return text
}

// describe adds the description that a file holds.
func (e *environment) describe(ctx context.Context, notes io.Writer, r *order) error {
	d, err := readDescription(ctx, notes, e.file)
	if err != nil {
		return err
	}
	m, err := asMap(d)
	if err != nil {
		return err
	}
	m["kind"] = "anonymous"
	r.body["environment"] = m
	r.uris = append(r.uris, urisOf(d)...)
	return nil
}

// registered is an environment of the registry as the server shows it.
type registered struct {
	env.Description
	User string `json:"user"`
}

// urisOf are the files that a description names.
func urisOf(d *env.Description) []string {
	uris := []string{d.Image.File}
	if d.Preinstall != nil {
		uris = append(uris, d.Preinstall.Archive)
	}
	for _, p := range d.Postinstalls {
		uris = append(uris, p.Archive)
	}
	return uris
}

var numberForm = regexp.MustCompile(`^\d{1,18}$`)

func wholeNumber(text string) (int64, error) {
	if !numberForm.MatchString(text) {
		return 0, errors.New("it must be a whole number")
	}
	var n int64
	for _, c := range text {
		n = n*10 + int64(c-'0')
	}
	return n, nil
}
