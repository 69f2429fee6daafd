package main

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kadeploy/coordinator/internal/api"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/imagecache"
	"kadeploy/coordinator/internal/steps"
	"kadeploy/coordinator/internal/workflow"
)

// preparing is a cache and a service of prepared images in one directory.
func preparing(t *testing.T, dir, mode string) (*files, *prepared) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	cache, err := imagecache.New(imagecache.Config{Directory: dir, Size: 100 << 20, Open: openForUser([]string{dir}), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	server := &config.Server{Cache: config.Cache{Directory: dir}, Environments: config.Environments{Prepare: mode, PreparedSize: 100 << 20}}
	f := newFiles(cache)
	p, err := newPrepared(server, f, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return f, p
}

// gzipped writes an archive of 3 MB and returns its content.
func gzipped(t *testing.T, file string) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = "0123456789abcdef"[rng.IntN(16)]
	}
	cmd := exec.CommandContext(t.Context(), "gzip", "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out, 0o644); err != nil {
		t.Fatal(err)
	}
	return data
}

// await asks for the prepared image until there is one.
func await(t *testing.T, p *prepared, req *workflow.Request) workflow.File {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		file, err := p.Prepared(t.Context(), req, steps.Frames)
		if err == nil {
			return file
		}
		if !errors.Is(err, steps.ErrNotPrepared) || time.Since(begin) > time.Minute {
			t.Fatal(err)
		}
	}
}

// From the image cache to what is sent, through a restart.
func TestPreparedImage(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image.tar.gz")
	data := gzipped(t, image)
	cacheFiles, p := preparing(t, dir, "auto")
	d := &env.Description{Name: "e", Image: env.Image{File: "server://" + image, Kind: "tar", Compression: "gzip"}, Filesystem: "xfs"}
	fetch := func(f *files, id string) *workflow.Request {
		file, err := f.Fetch(t.Context(), api.FileRequest{URI: d.Image.File, What: "tarball", Holder: id, Caller: api.Caller{UID: -1}})
		if err != nil {
			t.Fatal(err)
		}
		return &workflow.Request{ID: id, Env: d, Files: workflow.Files{Image: file}, Clusters: []workflow.ClusterNodes{{Cluster: &cluster.Cluster{}}}}
	}
	req := fetch(cacheFiles, "D-1")
	p.Deployed(req)
	sent := await(t, p, req)
	out, err := exec.CommandContext(t.Context(), "zstd", "-dcq", sent.Path).Output()
	if err != nil || !bytes.Equal(out, data) {
		t.Errorf("the prepared image stands for %d bytes (%v), not for the %d of the image", len(out), err, len(data))
	}
	if req.Files.Image.Hash == sent.Hash {
		t.Error("the image itself was returned")
	}
	p.release("D-1")
	cacheFiles.release("D-1")
	p.close()

	cacheFiles, p = preparing(t, dir, "auto")
	if again, err := p.Prepared(t.Context(), fetch(cacheFiles, "D-2"), steps.Frames); err != nil || again.Path != sent.Path {
		t.Errorf("after a restart: %v, %v; want %s", again.Path, err, sent.Path)
	}
}

// A registered environment's image is prepared if the server can reach it by itself.
func TestRegisteredImageIsPrepared(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image.tar.gz")
	gzipped(t, image)
	cacheFiles, p := preparing(t, dir, "auto")
	d := &env.Description{Name: "e", Image: env.Image{File: "server://" + image, Kind: "tar", Compression: "gzip"}}
	request := api.FileRequest{URI: d.Image.File, What: "tarball", Keep: true, Caller: api.Caller{UID: -1}}
	p.Registered(d, request)
	request.Holder = "D-1"
	file, err := cacheFiles.Fetch(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	await(t, p, &workflow.Request{ID: "D-1", Env: d, Files: workflow.Files{Image: file}})

	local := *d
	local.Image.File = "/home/user/image.tar.gz"
	p.Registered(&local, api.FileRequest{URI: local.Image.File}) // only its user's client can reach it: nothing happens
	p.fetch.Wait()
}

func TestPrepareOff(t *testing.T) {
	dir := t.TempDir()
	_, p := preparing(t, dir, "off")
	if p.forSteps() != nil || p.forAPI() != nil {
		t.Error("images are prepared on a site that has it off")
	}
	if _, err := os.Stat(filepath.Join(dir, "kadeploy-prepared")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of prepared images: %v, want none", err)
	}
	d := &env.Description{Image: env.Image{Kind: "tar"}}
	if forms := steps.Forms(&workflow.Request{Env: d, NoPrepare: true}, nil); len(forms) != 0 {
		t.Errorf("forms of a deployment with --no-prepare: %v", forms)
	}
	if forms := steps.Forms(&workflow.Request{Env: d}, nil); len(forms) == 0 {
		t.Error("a tar image has no forms")
	}
}
