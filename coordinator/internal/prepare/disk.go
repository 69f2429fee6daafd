package prepare

import (
	"encoding/hex"
	"errors"
	"io"
	"os"
	"time"

	"kadeploy/kascade"
)

const (
	// subdirectory is ours in the directory that is configured.
	subdirectory  = "kadeploy-prepared"
	scratchPrefix = "scratch-"
)

// object is one prepared image. Its exported fields are what stands on the disk.
type object struct {
	ID       string    `json:"id"`
	Form     string    `json:"form"`
	Depends  string    `json:"depends"`
	Image    string    `json:"image"` // hash of the image that it was made from
	Size     int64     `json:"size"`
	Hash     string    `json:"hash"`
	Declined string    `json:"declined,omitempty"` // why there is none
	Used     time.Time `json:"-"`                  // last use; on the disk, the time of the record's file

	manifest *kascade.Manifest
	refs     int
}

func (obj *object) key() key { return key{obj.Form, obj.Depends, obj.Image} }

// write takes what fill writes into the object's data file, and computes the
// manifest on the way. Room is kept for it while it grows.
func (s *Service) write(obj *object, fill func(io.Writer) error) (err error) {
	f, err := os.OpenFile(s.dir.Data(obj.ID), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, w := io.Pipe()
	filled := make(chan error, 1)
	go func() {
		err := fill(&growing{s, obj, w})
		w.CloseWithError(err)
		filled <- err
	}()
	obj.manifest, err = kascade.NewManifest(io.TeeReader(r, f), 0)
	r.CloseWithError(err) // if the file cannot be written, who fills it must learn why
	if fillErr := <-filled; fillErr != nil {
		return fillErr
	}
	if err != nil {
		return err
	}
	obj.Hash = hex.EncodeToString(obj.manifest.Whole[:])
	return f.Sync()
}

// growing makes room for what is written.
type growing struct {
	s   *Service
	obj *object
	w   io.Writer
}

func (g *growing) Write(p []byte) (int, error) {
	if err := g.s.reserve(g.obj, int64(len(p))); err != nil {
		return 0, err
	}
	return g.w.Write(p)
}

// record makes an object durable. One that its form declined has a record only.
func (s *Service) record(obj *object) error {
	if obj.Declined != "" {
		s.discardData(obj)
	} else if err := s.dir.PutManifest(obj.ID, obj.manifest); err != nil {
		return err
	}
	return s.dir.PutRecord(obj.ID, obj)
}

// recover loads what an earlier process has left complete and removes the rest.
func (s *Service) recover() error {
	err := s.dir.Recover(func(id string) error {
		obj, err := s.load(id)
		if err != nil {
			s.cfg.Logger.Warn("incomplete prepared image is removed", "id", id, "error", err)
			return err
		}
		s.objects[obj.key()] = obj
		s.used += obj.Size
		return nil
	})
	if err != nil {
		return err
	}
	return s.shrink(0)
}

// load reads one record and checks that the rest fits it.
func (s *Service) load(id string) (*object, error) {
	obj := &object{}
	used, err := s.dir.Record(id, obj)
	if err != nil {
		return nil, err
	}
	if obj.ID != id || s.objects[obj.key()] != nil {
		return nil, errors.New("it is not what its name says, or there twice")
	}
	obj.Used = used
	if obj.Declined == "" {
		obj.manifest, err = s.dir.Manifest(id, obj.Size, obj.Hash)
	}
	return obj, err
}
