package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"sync"

	"kadeploy/coordinator/internal/api"
	"kadeploy/coordinator/internal/imagecache"
	"kadeploy/coordinator/internal/workflow"
)

// files is the image cache as the REST interface uses it: copies are held for
// the workflow that needs them.
type files struct {
	cache *imagecache.Cache

	mu   sync.Mutex
	held map[string][]*imagecache.Entry // by workflow
}

func newFiles(cache *imagecache.Cache) *files {
	return &files{cache: cache, held: make(map[string][]*imagecache.Entry)}
}

func (f *files) request(r api.FileRequest) imagecache.Request {
	priority := imagecache.Anonymous
	if r.Keep {
		priority = imagecache.Recorded
	}
	return imagecache.Request{
		URI: r.URI, Kind: r.What, User: r.Caller.User, ClientURL: r.Client,
		Checksum: r.Checksum, MaxSize: r.MaxSize, Priority: priority,
	}
}

func (f *files) Fetch(ctx context.Context, r api.FileRequest) (workflow.File, error) {
	e, err := f.cache.Fetch(ctx, f.request(r))
	if err != nil {
		return workflow.File{}, err
	}
	f.mu.Lock()
	f.held[r.Holder] = append(f.held[r.Holder], e)
	f.mu.Unlock()
	return workflow.File{Path: e.Path, Size: e.Size, Hash: e.Hash, Manifest: e.Manifest.Encode()}, nil
}

func (f *files) Checksum(ctx context.Context, r api.FileRequest) (string, error) {
	return f.cache.Checksum(ctx, f.request(r))
}

// release lets go of what a workflow needed.
func (f *files) release(workflow string) {
	f.mu.Lock()
	entries := f.held[workflow]
	delete(f.held, workflow)
	f.mu.Unlock()
	for _, e := range entries {
		e.Release()
	}
}

// nobody is who users are that this host does not know: they read what everybody may.
const nobody = 65534

// openForUser opens a file of the server as a user could open it himself.
func openForUser(_ context.Context, name, path string) (*os.File, error) {
	uid, gid, groups := nobody, nobody, []int(nil)
	if u, err := user.Lookup(name); err == nil {
		if uid, gid, groups, err = numbers(u); err != nil {
			return nil, err
		}
	}
	return imagecache.OpenAs(path, uid, gid, groups)
}

func numbers(u *user.User) (uid, gid int, groups []int, err error) {
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, 0, nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return 0, 0, nil, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return 0, 0, nil, fmt.Errorf("groups of user %s: %w", u.Username, err)
		}
		groups = append(groups, n)
	}
	return uid, gid, groups, nil
}
