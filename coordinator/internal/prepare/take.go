package prepare

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of waiting for a form that is on its way. A node needs at least about
// as long for the image as it is as the coordinator needs to read it, so
// waiting for the last part of that pays, whatever the image.
const (
	longestWait = 60 * time.Second
	shortOf     = 4 // the rest may be one such part of the whole
)

// Errors of Take that are no failures.
var (
	ErrUnsuitable = errors.New("this form does not suit the image")
	ErrNotReady   = errors.New("it is not ready, and not worth waiting for")
	ErrDeclined   = errors.New("the image is better as it is")
)

// Take returns an image in another form, and keeps it for the holder until
// Release. If it is on its way it waits, as long as that is worth it. Any error
// means that the image is to be sent as it is.
func (s *Service) Take(ctx context.Context, im Image, form, holder string) (*Prepared, error) {
	_, k, ok := s.keyOf(im, form)
	if !ok {
		return nil, ErrUnsuitable
	}
	for {
		s.mu.Lock()
		obj, fl, failed := s.objects[k], s.flights[k], s.failed[k]
		if obj != nil && obj.Declined == "" {
			obj.refs++
			s.held[holder] = append(s.held[holder], obj)
		}
		s.mu.Unlock()
		switch {
		case obj != nil && obj.Declined != "":
			return nil, fmt.Errorf("%w: %s", ErrDeclined, obj.Declined)
		case obj != nil:
			return &Prepared{Form: form, Path: s.dir.Data(obj.ID), Size: obj.Size, Hash: obj.Hash, Manifest: obj.manifest}, nil
		case fl == nil && failed != nil:
			return nil, failed
		case fl == nil:
			return nil, ErrNotReady
		}
		if err := s.wait(ctx, fl); err != nil {
			return nil, err
		}
	}
}

// wait returns nil at the end of a flight, or ErrNotReady as soon as it takes too long.
func (s *Service) wait(ctx context.Context, fl *flight) error {
	limit := time.NewTimer(longestWait)
	defer limit.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		if !fl.nearEnd(s.cfg.Now()) {
			return ErrNotReady
		}
		select {
		case <-fl.done:
			return nil
		case <-look.C: // it may have become slower
		case <-limit.C:
			return ErrNotReady
		case <-ctx.Done():
			return fmt.Errorf("wait for the prepared image: %w", context.Cause(ctx))
		}
	}
}

// nearEnd tells whether the rest of a flight is worth waiting for.
func (fl *flight) nearEnd(now time.Time) bool {
	begun, read := fl.begun.Load(), fl.read.Load()
	if begun == 0 || read == 0 {
		return false
	}
	elapsed := now.Sub(time.Unix(0, begun))
	rest := time.Duration(float64(elapsed) * float64(fl.size-read) / float64(read))
	return rest <= (elapsed+rest)/shortOf && rest <= longestWait
}

// Release lets go of all that a holder has taken.
func (s *Service) Release(holder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, obj := range s.held[holder] {
		obj.refs--
		s.touch(obj)
	}
	delete(s.held, holder)
}
