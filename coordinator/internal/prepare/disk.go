package prepare

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kadeploy/kascade"
)

// On the disk a prepared image is three files: data, manifest and record. The
// record is written last and removed first, each file durable before the next:
// whoever finds a record finds the rest complete, at whatever moment the process
// died. An image that a form declined has a record only.
const (
	subdirectory   = "kadeploy-prepared"
	dataSuffix     = ".data"
	manifestSuffix = ".manifest"
	recordSuffix   = ".json"
	partSuffix     = ".part"
	scratchPrefix  = "scratch-"
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

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ownDirectory makes the directory, or checks that the one which is there is
// ours alone: its parent may be /tmp.
func ownDirectory(parent string) (string, error) {
	dir := filepath.Join(parent, subdirectory)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s is not a directory that only this user may enter: remove it, or set another cache.directory", dir)
	}
	return dir, nil
}

// write takes what fill writes into the object's data file, and computes the
// manifest on the way. Room is kept for it while it grows.
func (s *Service) write(obj *object, fill func(io.Writer) error) (err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, obj.ID+dataSuffix), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
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

// record makes an object durable.
func (s *Service) record(obj *object) error {
	if obj.Declined != "" {
		s.discardData(obj)
	} else if err := s.writeFile(obj.ID+manifestSuffix, obj.manifest.Encode()); err != nil {
		return err
	}
	text, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	return s.writeFile(obj.ID+recordSuffix, text)
}

// writeFile makes a file: complete and durable, or not at all.
func (s *Service) writeFile(name string, content []byte) (err error) {
	part := filepath.Join(s.dir, name+partSuffix)
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, filepath.Join(s.dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// recover loads what an earlier process has left complete and removes the rest.
func (s *Service) recover() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	complete := map[string]bool{}
	for _, e := range entries {
		id, isRecord := strings.CutSuffix(e.Name(), recordSuffix)
		if !isRecord {
			continue
		}
		obj, err := s.load(id)
		if err != nil {
			s.cfg.Logger.Warn("incomplete prepared image is removed", "file", e.Name(), "error", err)
			continue
		}
		complete[id] = true
		s.objects[obj.key()] = obj
		s.used += obj.Size
	}
	for _, e := range entries {
		if id, _, _ := strings.Cut(e.Name(), "."); !complete[id] {
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return s.shrink(0)
}

// load reads one record and checks that the rest fits it.
func (s *Service) load(id string) (*object, error) {
	name := filepath.Join(s.dir, id)
	text, err := os.ReadFile(name + recordSuffix)
	if err != nil {
		return nil, err
	}
	obj := &object{}
	if err := json.Unmarshal(text, obj); err != nil {
		return nil, err
	}
	info, err := os.Stat(name + recordSuffix)
	if err != nil {
		return nil, err
	}
	obj.Used = info.ModTime()
	if obj.ID != id || s.objects[obj.key()] != nil {
		return nil, errors.New("it is not what its name says, or there twice")
	}
	if obj.Declined != "" {
		return obj, nil
	}
	encoded, err := os.ReadFile(name + manifestSuffix)
	if err != nil {
		return nil, err
	}
	if obj.manifest, err = kascade.DecodeManifest(encoded); err != nil {
		return nil, err
	}
	data, err := os.Stat(name + dataSuffix)
	if err != nil {
		return nil, err
	}
	if obj.Size != data.Size() || obj.Size != obj.manifest.Size || obj.Hash != hex.EncodeToString(obj.manifest.Whole[:]) {
		return nil, errors.New("record, manifest and data do not fit together")
	}
	return obj, nil
}
