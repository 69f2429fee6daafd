package prepare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"kadeploy/coordinator/internal/depot"
)

// flight is one image being prepared.
type flight struct {
	done  chan struct{} // closed at its end
	size  int64         // of the image
	read  atomic.Int64  // bytes of it
	begun atomic.Int64  // when it got its turn, in ns of Unix time; 0: it waits
}

// longestMaking bounds the work on one image: what takes longer is not meant to
// end, and others wait for their turn.
const longestMaking = time.Hour

// Failed tells whether the last attempt to make this form has failed.
func (s *Service) Failed(im Image, form string) bool {
	_, k, ok := s.keyOf(im, form)
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok && s.failed[k] != nil
}

// Suits tells whether a form suits an image, as far as that is known without making it.
func (s *Service) Suits(im Image, form string) bool {
	_, k, ok := s.keyOf(im, form)
	s.mu.Lock()
	defer s.mu.Unlock()
	obj := s.objects[k]
	return ok && (obj == nil || obj.Declined == "")
}

// Begin has an image prepared in the background, if that form suits it and it is
// neither there nor on its way. It does not wait for anything.
func (s *Service) Begin(im Image, form string) {
	f, k, ok := s.keyOf(im, form)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[k] != nil || s.flights[k] != nil || s.ctx.Err() != nil {
		return
	}
	src, err := os.Open(im.Path)
	if err != nil {
		s.failed[k] = err
		s.cfg.Logger.Warn("image cannot be prepared; it is sent as it is", "form", form, "image", im.Hash, "error", err)
		return
	}
	delete(s.failed, k)
	fl := &flight{done: make(chan struct{}), size: im.Size}
	s.flights[k] = fl
	s.work.Go(func() {
		defer src.Close()
		s.fly(k, fl, f, im, src)
	})
}

// fly prepares one image when its turn comes.
func (s *Service) fly(k key, fl *flight, f Form, im Image, src *os.File) {
	var obj *object
	var err error
	select {
	case s.turn <- struct{}{}:
		begin := s.cfg.Now()
		fl.begun.Store(begin.UnixNano())
		ctx, cancel := context.WithTimeoutCause(s.ctx, longestMaking, fmt.Errorf("it took longer than %v", longestMaking))
		obj, err = s.make(ctx, k, f, im, &progress{ctx, src, fl})
		cancel()
		<-s.turn
		s.tell(obj, err, im, s.cfg.Now().Sub(begin))
	case <-s.ctx.Done():
		err = s.ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, k)
	if err != nil {
		s.failed[k] = err
	} else {
		s.objects[k] = obj
	}
	close(fl.done)
}

func (s *Service) tell(obj *object, err error, im Image, took time.Duration) {
	log := s.cfg.Logger.With("image", im.Hash)
	switch {
	case s.ctx.Err() != nil:
	case err != nil:
		log.Warn("image cannot be prepared; it is sent as it is", "error", err)
	case obj.Declined != "":
		log.Info("image is not prepared; it is sent as it is", "form", obj.Form, "reason", obj.Declined)
	default:
		log.Info("image is prepared", "form", obj.Form, "bytes", im.Size, "prepared", obj.Size, "seconds", took.Seconds())
	}
}

// make makes one form of one image and puts it on the disk. The object that it
// returns has its room, and is not known yet.
func (s *Service) make(ctx context.Context, k key, f Form, im Image, src io.Reader) (*object, error) {
	scratch, err := os.MkdirTemp(s.dir.Path, scratchPrefix)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	obj := &object{ID: depot.NewID(), Form: k.form, Depends: k.depends, Image: k.hash, Used: s.cfg.Now()}
	err = s.write(obj, func(out io.Writer) error {
		return f.Make(ctx, Job{Image: im, Source: src, Scratch: scratch, Out: out})
	})
	if errors.Is(err, ErrNoGain) {
		obj.Declined, err = err.Error(), nil
	}
	if err == nil {
		err = s.record(obj)
	}
	if err != nil {
		s.discard(obj)
		return nil, fmt.Errorf("prepare as %s: %w", k.form, err)
	}
	return obj, nil
}

// progress reads the image, and ends when the service does.
type progress struct {
	ctx    context.Context
	src    io.Reader
	flight *flight
}

func (p *progress) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	n, err := p.src.Read(b)
	p.flight.read.Add(int64(n))
	return n, err
}
