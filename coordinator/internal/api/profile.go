package api

import (
	"context"
	"net/url"
	"path"
	"strings"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/workflow"
)

// BootFiles keeps the files that users' boot profiles name as FILES_PREFIX--NAME.
type BootFiles interface {
	Size() int64 // of all files together, in bytes
	// Keep copies the file at path; content identifies what is in it. Errors are apperr's.
	Keep(ctx context.Context, operation, user, name, path, content string) error
}

// readProfile reads a boot profile of the user's own. It is what a reboot of kind
// set_pxe boots, and what deployed nodes boot instead of their disk.
func (s *server) readProfile(c *call, req *workflow.Request) error {
	var singularities map[string]string
	c.within("pxe", func(in *params) {
		req.PXEProfile = in.text("profile")
		if req.PXEProfile == "" {
			in.missing("profile")
		}
		singularities = in.textMap("singularities")
		req.PXEFiles = in.list("files")
		if len(req.PXEFiles) > 0 && s.BootFiles == nil {
			in.fail("files", "this server keeps no files for boot profiles; leave -x out, or ask for 'boot.user_files' in its configuration")
		}
		seen := make(map[string]bool)
		for _, uri := range req.PXEFiles {
			name := fileName(uri)
			if seen[name] {
				in.fail("files", "two of them are called %s; rename one", name)
			}
			seen[name] = true
		}
	})
	if c.err() == nil && req.Kind == workflow.Reboot {
		switch {
		case req.RebootKind == "set_pxe" && !c.has("pxe"):
			return apperr.New(apperr.MissingOption, "a reboot of kind set_pxe needs a boot profile; give one with -w")
		case req.RebootKind != "set_pxe" && c.has("pxe"):
			c.fail("pxe", "only a reboot of kind set_pxe takes a boot profile")
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	for node, text := range singularities {
		host, err := s.resolver.Resolve(node)
		if err != nil {
			return err
		}
		if req.PXESingularities == nil {
			req.PXESingularities = make(map[string]string)
		}
		req.PXESingularities[host] = text
	}
	return nil
}

// fileName is what a file is called by itself.
func fileName(uri string) string {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		return path.Base(uri)
	}
	if scheme == "http" || scheme == "https" {
		if u, err := url.Parse(uri); err == nil {
			return path.Base(u.Path)
		}
	}
	return path.Base(rest)
}

// grabBootFiles puts the files that go with the boot profile where boot loaders find them.
func (s *server) grabBootFiles(ctx context.Context, req *workflow.Request, get getFile) error {
	for _, uri := range req.PXEFiles {
		file, err := get("pxe", uri, "", s.BootFiles.Size())
		if err != nil {
			return err
		}
		if err := s.BootFiles.Keep(ctx, req.ID, req.User, fileName(uri), file.Path, file.Hash); err != nil {
			return asFailure("pxe", uri, err)
		}
	}
	return nil
}
