package main

import (
	"context"
	"errors"
	"fmt"
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

// hold finds the copies again that a workflow needs whose coordinator died. A file
// whose copy is gone has no path any more.
func (f *files) hold(req *workflow.Request) error {
	var gone []error
	again := func(file workflow.File) workflow.File {
		if file.Path == "" {
			return file
		}
		e, ok := f.cache.Hold(file.Path)
		if !ok {
			gone = append(gone, fmt.Errorf("there is no copy %s in the cache", file.Path))
			return workflow.File{Size: file.Size, Hash: file.Hash}
		}
		f.mu.Lock()
		f.held[req.ID] = append(f.held[req.ID], e)
		f.mu.Unlock()
		file.Manifest = e.Manifest.Encode()
		return file
	}
	req.Files.Image = again(req.Files.Image)
	if pre := req.Files.Preinstall; pre != nil {
		file := again(*pre)
		req.Files.Preinstall = &file
	}
	for i, post := range req.Files.Postinstalls {
		req.Files.Postinstalls[i] = again(post)
	}
	for _, more := range []map[string]workflow.File{req.Files.Site, req.OpFiles} {
		for key, file := range more {
			more[key] = again(file)
		}
	}
	return errors.Join(gone...)
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
