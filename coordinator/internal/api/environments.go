package api

import (
	"strconv"
	"strings"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/env"
)

// environmentView is an environment as clients see it: its description, and
// what the registry adds.
type environmentView struct {
	env.Description
	User      string    `json:"user"`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

func viewOf(e Environment) environmentView {
	return environmentView{Description: e.Description, User: e.Owner, CreatedAt: e.Created.UTC()}
}

func viewsOf(all []Environment) []environmentView {
	out := []environmentView{}
	for _, e := range all {
		out = append(out, viewOf(e))
	}
	return out
}

// listEnvironments is GET /environments.
func (s *server) listEnvironments(c *call) (any, error) {
	q := Query{
		Owner:   c.text("username"),
		Name:    c.text("name"),
		Version: c.integer("version", 0),
		Arch:    c.text("arch"),
		Last:    c.set("last"),
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	q.Pattern = strings.Contains(q.Name, "%")
	found, err := s.Registry.Environments(c.ctx, c.caller, q)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && (q.Name != "" || q.Version != 0) {
		return nil, apperr.NotFound("there is no environment %s that you may see", q)
	}
	return viewsOf(found), nil
}

// getEnvironments is GET /environments/USER/NAME[/VERSION].
func (s *server) getEnvironments(c *call) (any, error) {
	found, err := s.addressed(c)
	if err != nil {
		return nil, err
	}
	return viewsOf(found), nil
}

// addEnvironment is POST /environments.
func (s *server) addEnvironment(c *call) (any, error) {
	m := c.object("environment")
	if m == nil {
		c.missing("environment")
	}
	owner := (&params{values: m}).text("user")
	client := s.readClient(c)
	if err := c.err(); err != nil {
		return nil, err
	}
	if owner == "" {
		owner = c.caller.User
	}
	d, _, err := env.FromMap(m)
	if err != nil {
		return nil, err
	}
	for _, f := range filesOf(d) {
		if *f.checksum, err = s.Files.Checksum(c.ctx, s.fileRequest(c, client, f)); err != nil {
			return nil, err
		}
	}
	if c.set("dry_run") {
		return nil, nil
	}
	e, err := s.Registry.AddEnvironment(c.ctx, c.caller, owner, *d)
	if err != nil {
		return nil, err
	}
	if s.Preparer != nil {
		s.Preparer.Registered(&e.Description, s.fileRequest(c, client, filesOf(&e.Description)[0]))
	}
	return viewOf(e), nil
}

// describedFile is a file that a description names.
type describedFile struct {
	what     string // as clients ask for a new checksum of it
	uri      *string
	checksum *string
}

func filesOf(d *env.Description) []describedFile {
	all := []describedFile{{"image", &d.Image.File, &d.Image.Checksum}}
	if d.Preinstall != nil {
		all = append(all, describedFile{"preinstall", &d.Preinstall.Archive, &d.Preinstall.Checksum})
	}
	for i := range d.Postinstalls {
		p := &d.Postinstalls[i]
		all = append(all, describedFile{"postinstalls", &p.Archive, &p.Checksum})
	}
	return all
}

func (s *server) fileRequest(c *call, client string, f describedFile) FileRequest {
	req := FileRequest{URI: *f.uri, Client: client, Caller: c.caller, What: f.what, Keep: true}
	switch f.what {
	case "preinstall":
		req.MaxSize = s.Limits.Preinstall
	case "postinstalls":
		req.MaxSize = s.Limits.Postinstall
	}
	return req
}

// addressed finds the environments that a path USER/NAME[/VERSION] names: with
// last, or for verbs that change one, only the newest.
func (s *server) addressed(c *call) ([]Environment, error) {
	q := Query{Owner: c.args[0], Name: c.args[1], Last: c.set("last")}
	if len(c.args) > 2 {
		v, err := strconv.Atoi(c.args[2])
		if err != nil || len(c.args) > 3 {
			return nil, apperr.NotFound("the path has the form /environments/USER/NAME/VERSION")
		}
		q.Version, q.Last = v, false
	}
	q.Arch = c.text("arch")
	if err := c.err(); err != nil {
		return nil, err
	}
	found, err := s.Registry.Environments(c.ctx, c.caller, q)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, apperr.NotFound("there is no environment %s that you may see", q)
	}
	return found, nil
}

// changeEnvironment is PUT /environments/USER/NAME[/VERSION].
func (s *server) changeEnvironment(c *call) (any, error) {
	change, what, err := readChange(c)
	if err != nil {
		return nil, err
	}
	if len(c.args) < 3 && !c.set("last") {
		return nil, apperr.New(apperr.MissingOption, "Parameter 'last': it is mandatory when no version is given")
	}
	found, err := s.addressed(c)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		return nil, apperr.New(apperr.ConflictingOptions, "%d environments have this name and version; give the architecture too", len(found))
	}
	if what != "" {
		// Here, and not within the change: reading an image takes long, and
		// nothing else is written to the database during a change.
		if change, err = s.newChecksums(c, what, &found[0].Description); err != nil {
			return nil, err
		}
	}
	if c.set("dry_run") {
		return nil, nil
	}
	e, err := s.Registry.UpdateEnvironment(c.ctx, c.caller, found[0].ID, change)
	if err != nil {
		return nil, err
	}
	return viewOf(e), nil
}

// readChange reads which change is wanted: one of the description, or a new
// checksum of some of its files.
func readChange(c *call) (change func(d *env.Description) error, what string, err error) {
	visibility := c.oneOf("visibility", "", "public", "private", "shared")
	if err := c.err(); err != nil {
		return nil, "", err
	}
	switch {
	case visibility != "":
		return func(d *env.Description) error {
			if d.Visibility == visibility {
				return apperr.New(apperr.NothingModified, "environment %s is %s already", d.Name, visibility)
			}
			d.Visibility = visibility
			return nil
		}, "", nil
	case c.set("toggle_destructive"):
		return func(d *env.Description) error {
			d.Destructive = !d.Destructive
			return nil
		}, "", nil
	}
	for _, what := range []string{"image", "preinstall", "postinstalls"} {
		if c.set("update_" + what + "_checksum") {
			return nil, what, nil
		}
	}
	return nil, "", apperr.New(apperr.MissingOption, "say what to change: visibility, toggle_destructive, update_image_checksum, update_preinstall_checksum or update_postinstalls_checksum")
}

// newChecksums reads files of an environment again, and returns the change that notes their checksums.
func (s *server) newChecksums(c *call, what string, d *env.Description) (func(d *env.Description) error, error) {
	client := s.readClient(c)
	if err := c.err(); err != nil {
		return nil, err
	}
	sums := make(map[string]string) // by URI
	for _, f := range filesOf(d) {
		if f.what != what {
			continue
		}
		sum, err := s.Files.Checksum(c.ctx, s.fileRequest(c, client, f))
		if err != nil {
			return nil, err
		}
		sums[*f.uri] = sum
	}
	return func(d *env.Description) error {
		changed := false
		for _, f := range filesOf(d) {
			if sum, ok := sums[*f.uri]; ok && f.what == what && sum != *f.checksum {
				*f.checksum, changed = sum, true
			}
		}
		if !changed {
			return apperr.New(apperr.NothingModified, "the checksum of the %s of %s is up to date", what, d.Name)
		}
		return nil
	}, nil
}

// moveFiles is PUT /environments: an administrator moved files of environments.
func (s *server) moveFiles(c *call) (any, error) {
	moves := c.textMap("update_files")
	client := s.readClient(c)
	if len(moves) == 0 && c.err() == nil {
		c.missing("update_files")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if !c.caller.Admin {
		return nil, apperr.Forbidden("only administrators move files")
	}
	found, err := s.Registry.Environments(c.ctx, c.caller, Query{})
	if err != nil {
		return nil, err
	}
	// All new places are looked at before anything is changed.
	var affected []Environment
	for _, e := range found {
		if !rewrite(&e.Description, moves) {
			continue
		}
		for _, f := range filesOf(&e.Description) {
			if _, err := s.Files.Checksum(c.ctx, s.fileRequest(c, client, f)); err != nil {
				return nil, err
			}
		}
		affected = append(affected, e)
	}
	moved := []environmentView{}
	for _, e := range affected {
		if c.set("dry_run") {
			break
		}
		e, err := s.Registry.UpdateEnvironment(c.ctx, c.caller, e.ID, func(d *env.Description) error {
			rewrite(d, moves)
			return nil
		})
		if err != nil {
			return nil, err
		}
		moved = append(moved, viewOf(e))
	}
	return moved, nil
}

// rewrite replaces the first prefix that fits each path; the longest if several do.
func rewrite(d *env.Description, moves map[string]string) bool {
	changed := false
	for _, f := range filesOf(d) {
		best := ""
		for from := range moves {
			if from != "" && strings.HasPrefix(*f.uri, from) && len(from) > len(best) {
				best = from
			}
		}
		if best != "" {
			*f.uri = moves[best] + strings.TrimPrefix(*f.uri, best)
			changed = true
		}
	}
	return changed
}

// removeEnvironments is DELETE /environments/USER/NAME[/VERSION].
func (s *server) removeEnvironments(c *call) (any, error) {
	found, err := s.addressed(c)
	if err != nil {
		return nil, err
	}
	if c.set("dry_run") {
		return nil, nil
	}
	var ids []int64
	for _, e := range found {
		ids = append(ids, e.ID)
	}
	if err := s.Registry.RemoveEnvironments(c.ctx, c.caller, ids); err != nil {
		return nil, err
	}
	return viewsOf(found), nil
}
