package api

import (
	"context"
	"fmt"
	"os"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/workflow"
)

// maxKeys bounds a file of keys: it is kept in memory and in the journal.
const maxKeys = 1 << 20

// noteLevel is the verbosity at which fetches are told of.
const noteLevel = 3

// warnLevel is the verbosity at which warnings are told.
const warnLevel = 1

// fetchAll returns what a deployment does before it touches a node: it fetches
// the keys and the archives, and completes the request with them. The image, which may be
// large, gets a head start: what can be refused quickly is refused before a node is touched,
// and the rest comes while they boot.
func (s *server) fetchAll(c *call, req *workflow.Request, keys string) engine.Prepare {
	client, caller := s.readClient(c), c.caller
	req.KeysFrom = keys
	return func(ctx context.Context, note func(level int, text string)) (engine.Rest, error) {
		fetch := func(ctx context.Context, what, uri, checksum string, limit int64) (workflow.File, error) {
			note(noteLevel, fmt.Sprintf("Grab the %s file %s", what, uri))
			if req.EnvID < 0 {
				checksum = "" // an anonymous environment's files are what they are
			}
			file, err := s.Files.Fetch(ctx, FileRequest{
				URI: uri, Client: client, Caller: caller, What: what, Checksum: checksum,
				MaxSize: limit, Keep: req.EnvID >= 0, Holder: req.ID,
			})
			return file, asFailure(what, uri, err)
		}
		get := func(what, uri, checksum string, limit int64) (workflow.File, error) {
			return fetch(ctx, what, uri, checksum, limit)
		}
		for _, line := range req.OverriddenVariables() {
			note(warnLevel, line)
		}
		image := startFetch(ctx, func(ctx context.Context) (workflow.File, error) {
			return fetch(ctx, "tarball", req.Env.Image.File, req.Env.Image.Checksum, 0)
		})
		others := func() (err error) {
			if req.Keys, err = s.grabKeys(keys, get); err != nil {
				return err
			}
			return s.grabArchives(ctx, c, req, client, note, get)
		}
		if err := others(); err != nil {
			image.drop()
			return nil, err
		}
		rest := func(ctx context.Context) (err error) {
			req.Files.Image, err = image.wait(ctx)
			req.Fetching = false
			if err == nil && s.Preparer != nil {
				s.Preparer.Deployed(req)
			}
			return err
		}
		if image.within(headStart) {
			return nil, rest(ctx)
		}
		req.Fetching = true
		note(noteLevel, "The image is still being fetched: nodes go as far as they can without it")
		return rest, nil
	}
}

// grabArchives fetches all but the keys and the image.
func (s *server) grabArchives(ctx context.Context, c *call, req *workflow.Request, client string, note func(level int, text string), get getFile) error {
	if pre := req.Env.Preinstall; pre != nil {
		file, err := get("preinstall", pre.Archive, pre.Checksum, s.Limits.Preinstall)
		if err != nil {
			return err
		}
		req.Files.Preinstall = &file
	}
	req.Files.Postinstalls = nil
	for _, post := range req.Env.Postinstalls {
		file, err := get("postinstall", post.Archive, post.Checksum, s.Limits.Postinstall)
		if err != nil {
			return err
		}
		req.Files.Postinstalls = append(req.Files.Postinstalls, file)
	}
	if err := s.grabSiteArchives(ctx, req, note); err != nil {
		return err
	}
	if err := s.grabBootFiles(ctx, req, get); err != nil {
		return err
	}
	return s.grabOperations(ctx, c, req, client, note)
}

// grabSiteArchives fetches the preinstalls and postinstalls of the clusters' sites.
// Users' limits of size are not theirs.
func (s *server) grabSiteArchives(ctx context.Context, req *workflow.Request, note func(level int, text string)) error {
	req.Files.Site = make(map[string]workflow.File)
	for _, path := range req.SiteArchives() {
		uri := "server://" + path
		note(noteLevel, "Grab the site's archive "+path)
		file, err := s.Files.Fetch(ctx, FileRequest{URI: uri, Site: true, What: "site's archive", Keep: true, Holder: req.ID})
		if err != nil {
			return asFailure("site's archive", uri, err)
		}
		req.Files.Site[path] = file
	}
	return nil
}

// fetchOthers is fetchAll for operations that install nothing but keys.
func (s *server) fetchOthers(c *call, req *workflow.Request, keys string) engine.Prepare {
	client, caller := s.readClient(c), c.caller
	req.KeysFrom = keys
	return func(ctx context.Context, note func(level int, text string)) (engine.Rest, error) {
		get := func(what, uri, checksum string, limit int64) (workflow.File, error) {
			note(noteLevel, fmt.Sprintf("Grab the %s file %s", what, uri))
			file, err := s.Files.Fetch(ctx, FileRequest{URI: uri, Client: client, Caller: caller, What: what, MaxSize: limit, Holder: req.ID})
			return file, asFailure(what, uri, err)
		}
		var err error
		if req.Keys, err = s.grabKeys(keys, get); err != nil {
			return nil, err
		}
		if err := s.grabBootFiles(ctx, req, get); err != nil {
			return nil, err
		}
		return nil, s.grabOperations(ctx, c, req, client, note)
	}
}

// grabOperations fetches the files of custom operations.
func (s *server) grabOperations(ctx context.Context, c *call, req *workflow.Request, client string, note func(level int, text string)) error {
	req.OpFiles = make(map[string]workflow.File)
	for _, op := range req.OperationFiles() {
		if _, there := req.OpFiles[op.FileKey()]; there {
			continue
		}
		note(noteLevel, fmt.Sprintf("Grab the custom_file file %s", op.File))
		file, err := s.Files.Fetch(ctx, FileRequest{
			URI: op.File, Client: client, Caller: c.caller, Site: op.Site, What: "custom_file", Keep: op.Site, Holder: req.ID,
		})
		if err != nil {
			return asFailure("custom_file", op.File, err)
		}
		req.OpFiles[op.FileKey()] = file
	}
	return nil
}

type getFile func(what, uri, checksum string, limit int64) (workflow.File, error)

func (s *server) grabKeys(uri string, get getFile) ([]byte, error) {
	if uri == "" {
		return nil, nil
	}
	file, err := get("key", uri, "", maxKeys)
	if err != nil {
		return nil, err
	}
	keys, err := os.ReadFile(file.Path)
	if err != nil {
		return nil, asFailure("key", uri, fmt.Errorf("read its copy in the cache: %w", err))
	}
	return keys, nil
}

// asFailure makes an error of a fetch one that ends the workflow with a code.
func asFailure(what, uri string, err error) error {
	if err == nil {
		return nil
	}
	code, ok := apperr.Of(err)
	if !ok {
		code = apperr.CacheError
	}
	text := fmt.Sprintf("%s file %s: %v", what, uri, err)
	if what == "tarball" && code == apperr.InvalidFile {
		text = "Image file not found! " + text // the words that the users' guide explains
	}
	return &workflow.Failure{Code: int(code), Message: text}
}
