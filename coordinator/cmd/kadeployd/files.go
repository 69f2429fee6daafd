package main

import (
	"context"
	"os"
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
	by := imagecache.User{Name: r.Caller.User, Local: r.Caller.UID >= 0, UID: r.Caller.UID}
	if r.Site {
		by = imagecache.User{Local: true, UID: os.Geteuid()}
	}
	return imagecache.Request{
		URI: r.URI, Kind: r.What, ClientURL: r.Client,
		User:     by,
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

func (f *files) Size(ctx context.Context, r api.FileRequest) (int64, error) {
	return f.cache.Size(ctx, f.request(r))
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
