package imagecache

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kadeploy/kascade"
)

// On the disk a copy is three files: data, manifest and record. The record is
// written last and removed first, each file durable before the next: whoever
// finds a record finds the rest complete, at whatever moment the process died.
const (
	subdirectory   = "kadeploy-cache"
	dataSuffix     = ".data"
	manifestSuffix = ".manifest"
	recordSuffix   = ".json"
	partSuffix     = ".part"
)

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (c *Cache) dataPath(id string) string   { return filepath.Join(c.dir, id+dataSuffix) }
func (c *Cache) recordPath(id string) string { return filepath.Join(c.dir, id+recordSuffix) }

// ownDirectory makes the cache's own directory, or checks that the one which is
// there is ours alone: its parent may be /tmp.
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

// record makes an object durable.
func (c *Cache) record(obj *object) error {
	text, err := json.Marshal(obj)
	if err != nil {
		return cacheError(err)
	}
	if err := c.writeFile(obj.ID+manifestSuffix, obj.manifest.Encode()); err != nil {
		return cacheError(err)
	}
	if obj.Key == "" {
		return nil // nobody could find it again: it does not outlive the process
	}
	if err := c.writeFile(obj.ID+recordSuffix, text); err != nil {
		return cacheError(err)
	}
	return nil
}

// writeFile replaces a file: complete and durable, or as it was.
func (c *Cache) writeFile(name string, content []byte) (err error) {
	part := filepath.Join(c.dir, name+partSuffix)
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, filepath.Join(c.dir, name))
	}
	if err != nil {
		os.Remove(part)
		return err
	}
	return c.syncDirectory()
}

func (c *Cache) syncDirectory() error {
	d, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeFiles removes a copy, its record first.
func (c *Cache) removeFiles(id string) error {
	var errs []error
	for _, suffix := range []string{recordSuffix, manifestSuffix, dataSuffix} {
		if err := os.Remove(filepath.Join(c.dir, id+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// recover loads what an earlier process has left complete and removes the rest
// of the directory's files; the room is then made as small as it must be.
func (c *Cache) recover() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	complete := map[string]bool{}
	for _, e := range entries {
		id, isRecord := strings.CutSuffix(e.Name(), recordSuffix)
		if !isRecord {
			continue
		}
		obj, err := c.load(id)
		if err != nil {
			c.cfg.Logger.Warn("incomplete copy in the image cache is removed", "file", e.Name(), "error", err)
			continue
		}
		complete[id] = true
		c.objects[obj.mapKey()] = obj
		c.used += obj.Size
	}
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), ".")
		if !complete[id] && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for c.used > c.cfg.Size { // the configuration was made smaller
		if err := c.evict(c.victim()); err != nil {
			return err
		}
	}
	return nil
}

// load reads one copy's record and checks that the rest fits it.
func (c *Cache) load(id string) (*object, error) {
	text, err := os.ReadFile(c.recordPath(id))
	if err != nil {
		return nil, err
	}
	obj := &object{}
	if err := json.Unmarshal(text, obj); err != nil {
		return nil, err
	}
	encoded, err := os.ReadFile(filepath.Join(c.dir, id+manifestSuffix))
	if err != nil {
		return nil, err
	}
	if obj.manifest, err = kascade.DecodeManifest(encoded); err != nil {
		return nil, err
	}
	data, err := os.Stat(c.dataPath(id))
	if err != nil {
		return nil, err
	}
	if obj.ID != id || obj.Key == "" || obj.Size != data.Size() || obj.Size != obj.manifest.Size ||
		obj.Hash != hex.EncodeToString(obj.manifest.Whole[:]) || c.objects[obj.Key] != nil {
		return nil, errors.New("record, manifest and data do not fit together")
	}
	info, err := os.Stat(c.recordPath(id))
	if err != nil {
		return nil, err
	}
	obj.Used = info.ModTime()
	return obj, nil
}
