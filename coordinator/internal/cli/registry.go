package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/env"
)

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

func (r *registry) find(ctx context.Context, s *session, name string) ([]registered, error) {
	var found []registered
	err := s.Get(ctx, "/environments", r.query(name), &found)
	var answer *client.Error
	if errors.As(err, &answer) && answer.Status == 404 {
		return nil, nil
	}
	return found, err
}

func (r *registry) doList(ctx context.Context, s *session) error {
	pattern := r.list
	if pattern == "%" {
		pattern = ""
	}
	found, err := r.find(ctx, s, pattern)
	if err != nil {
		return err
	}
	if r.json {
		return r.encode(s, found)
	}
	_, err = io.WriteString(s.app.Stdout, listing(found))
	return err
}

func (r *registry) encode(s *session, all []registered) error {
	enc := json.NewEncoder(s.app.Stdout)
	for _, e := range all {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

func (r *registry) doPrint(ctx context.Context, s *session) error {
	found, err := r.find(ctx, s, r.print)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return r.notFound(r.print)
	}
	if r.json {
		return r.encode(s, found)
	}
	for _, e := range found {
		text, err := e.Description.Print()
		if err != nil {
			return err
		}
		if _, err := s.app.Stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func (r *registry) notFound(name string) error {
	wanted := environment{name: name, owner: r.owner, version: r.version, arch: r.arch}
	return mistakef("The environment %s cannot be found; -l lists those that you may see", &wanted)
}

func (r *registry) doAdd(ctx context.Context, s *session) error {
	d, err := readDescription(ctx, s.notes, r.fromFile)
	if err != nil {
		return err
	}
	var added registered
	if err := r.add(ctx, s, d, &added); err != nil {
		return err
	}
	return r.changed(s, []registered{added})
}

// add registers a description.
func (r *registry) add(ctx context.Context, s *session, d *env.Description, added *registered) error {
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
	return r.lending(ctx, s, d, body, func() error { return s.Post(ctx, "/environments/", body, added) })
}

// changed tells programs which environments were changed. People were never told.
func (r *registry) changed(s *session, all []registered) error {
	if !r.json || r.dryRun {
		return nil
	}
	return r.encode(s, all)
}

// lending does what makes the server read the files of an environment, while
// those of this host are lent to it.
func (r *registry) lending(ctx context.Context, s *session, d *env.Description, body map[string]any, do func() error) error {
	var paths []string
	for _, uri := range urisOf(d) {
		if path, ok := client.Local(uri); ok {
			paths = append(paths, path)
		}
	}
	if len(paths) > 0 {
		export, err := s.Export(ctx, paths, r.secure)
		if err != nil {
			return err
		}
		defer export.Close()
		body["client"] = export.Base()
	}
	return do()
}

// address is the path of an environment, and the parameters that go with it.
func (r *registry) address(s *session, name string) (string, map[string]any) {
	owner := r.owner
	if owner == "" {
		owner = s.actor
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

func (r *registry) doDelete(ctx context.Context, s *session) error {
	if sure, err := r.sure(ctx, s); err != nil || !sure {
		return err
	}
	path, body := r.address(s, r.remove)
	var removed []registered
	if err := s.Delete(ctx, path, body, &removed); err != nil {
		return err
	}
	return r.changed(s, removed)
}

// sure asks, on a terminal, whether what is to be deleted is meant.
func (r *registry) sure(ctx context.Context, s *session) (bool, error) {
	if r.yes || r.dryRun || r.json || !r.app.typing() {
		return true, nil
	}
	mine := *r
	mine.owner = cmp.Or(r.owner, s.actor)
	found, err := mine.find(ctx, s, r.remove)
	if err != nil || len(found) == 0 {
		return err == nil, err // the server says that there is none
	}
	var names []string
	for i := range found {
		names = append(names, found[i].String())
	}
	fmt.Fprintf(r.app.Stderr, "Delete %s? [y/N] ", strings.Join(names, ", "))
	answer, err := bufio.NewReader(r.app.Stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("ask whether to delete: %w", err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	if answer == "y" || answer == "yes" {
		return true, nil
	}
	fmt.Fprintln(r.app.Stderr, "Nothing is deleted")
	return false, nil
}

func (r *registry) change(ctx context.Context, s *session, name, what string, value any) error {
	path, body := r.address(s, name)
	body[what] = value
	var after json.RawMessage
	put := func() error { return s.Put(ctx, path, body, &after) }
	if !strings.HasSuffix(what, "_checksum") {
		if err := put(); err != nil {
			return err
		}
		return r.changed(s, environmentsOf(after))
	}
	found, err := r.find(ctx, s, name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return r.notFound(name)
	}
	if err := r.lending(ctx, s, &found[0].Description, body, put); err != nil {
		return err
	}
	return r.changed(s, environmentsOf(after))
}

// environmentsOf reads an answer with one environment or a list of them.
func environmentsOf(answer json.RawMessage) []registered {
	var list []registered
	if json.Unmarshal(answer, &list) == nil {
		return list
	}
	var one registered
	if json.Unmarshal(answer, &one) != nil {
		return nil
	}
	return []registered{one}
}

func (r *registry) doMove(ctx context.Context, s *session) error {
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
	if err := s.Put(ctx, "/environments", body, &changed); err != nil {
		return err
	}
	if r.json {
		return r.encode(s, changed)
	}
	for _, e := range changed {
		fmt.Fprintf(s.app.Stdout, "%s v%d\n", e.Name, e.Version)
	}
	return nil
}
