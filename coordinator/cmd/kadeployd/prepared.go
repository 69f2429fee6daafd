package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"kadeploy/coordinator/internal/api"
	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/prepare"
	"kadeploy/coordinator/internal/steps"
	"kadeploy/coordinator/internal/workflow"
)

// prepared is the service of prepared images as the REST interface and the steps
// use it. A nil *prepared is a site that prepares none.
type prepared struct {
	service *prepare.Service
	files   *files
	mkfs    map[string]string // the site's arguments, by file system
	log     *slog.Logger

	ctx   context.Context // of fetches in the background
	stop  context.CancelFunc
	fetch sync.WaitGroup
}

// forms are those that a mode of environments.prepare stands for.
func forms(mode string) []prepare.Form {
	if mode == "frames" {
		return []prepare.Form{prepare.Frames{}}
	}
	return []prepare.Form{prepare.Blocks{}, prepare.Frames{}}
}

func newPrepared(server *config.Server, files *files, log *slog.Logger) (*prepared, error) {
	if server.Environments.Prepare == "off" {
		return nil, nil
	}
	service, err := prepare.New(prepare.Config{
		Directory: server.Cache.Directory, Size: server.Environments.PreparedSize, Forms: forms(server.Environments.Prepare), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	p := &prepared{service: service, files: files, mkfs: server.Mkfs, log: log}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p, nil
}

// image is what forms may need to know of a request.
func (p *prepared) image(d *env.Description, file workflow.File) prepare.Image {
	return prepare.Image{
		Path: file.Path, Size: file.Size, Hash: file.Hash, Kind: d.Image.Kind, Compression: d.Image.Compression,
		Filesystem: d.Filesystem, MkfsArguments: p.mkfs[d.Filesystem],
	}
}

// Deployed begins to prepare the image of a deployment: the nodes have still to boot.
func (p *prepared) Deployed(req *workflow.Request) {
	for _, group := range req.Clusters {
		p.begin(p.image(req.Env, req.Files.Image), steps.Forms(req, group.Cluster))
	}
}

// begin has the best form made that suits the image, and no other: those are for
// deployments that cannot use it, or whose coordinator failed to make it.
func (p *prepared) begin(im prepare.Image, forms []string) {
	for _, form := range forms {
		if !p.service.Suits(im, form) {
			continue
		}
		failed := p.service.Failed(im, form)
		if p.service.Begin(im, form); !failed {
			return
		}
	}
}

// Registered begins to prepare the image of a new environment, if the server can
// reach it without its user.
func (p *prepared) Registered(d *env.Description, image api.FileRequest) {
	if p.ctx.Err() != nil || !strings.Contains(image.URI, "://") || strings.HasPrefix(image.URI, "local://") {
		return
	}
	forms := steps.Forms(&workflow.Request{Env: d}, nil)
	if len(forms) == 0 {
		return
	}
	image.Holder = "registration of " + d.Name
	image.Checksum = d.Image.Checksum
	p.fetch.Go(func() {
		defer p.files.release(image.Holder)
		file, err := p.files.Fetch(p.ctx, image)
		if err != nil {
			if p.ctx.Err() == nil {
				p.log.Info("the image of a new environment is prepared only when it is deployed", "environment", d.Name, "error", err)
			}
			return
		}
		p.begin(p.image(d, file), forms)
	})
}

// Prepared returns the image of a request in a form.
func (p *prepared) Prepared(ctx context.Context, req *workflow.Request, form string) (workflow.File, error) {
	e, err := p.service.Take(ctx, p.image(req.Env, req.Files.Image), form, req.ID)
	if errors.Is(err, prepare.ErrNotReady) || errors.Is(err, prepare.ErrUnsuitable) || errors.Is(err, prepare.ErrDeclined) {
		return workflow.File{}, fmt.Errorf("%w: %w", steps.ErrNotPrepared, err)
	}
	if err != nil {
		return workflow.File{}, err
	}
	return workflow.File{Path: e.Path, Size: e.Size, Hash: e.Hash, Manifest: e.Manifest.Encode()}, nil
}

func (p *prepared) forSteps() steps.Preparer {
	if p == nil {
		return nil
	}
	return p
}

func (p *prepared) forAPI() api.Preparer {
	if p == nil {
		return nil
	}
	return p
}

func (p *prepared) release(workflow string) {
	if p != nil {
		p.service.Release(workflow)
	}
}

func (p *prepared) close() {
	if p != nil {
		p.stop()
		p.fetch.Wait()
		p.service.Close()
	}
}
