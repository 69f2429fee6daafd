// Package depot keeps files that never change in a directory of their own, so that
// the next process finds again what this one has completed. A file is three: its
// data, their manifest, and a record of whoever keeps them. The record is written
// last and removed first, each durable before the next: whoever finds a record finds
// the rest complete, at whatever moment the process died. What is kept, and for how
// long, is for others to decide.
package depot

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kadeploy/kascade"
)

// Names of the files of one ID end so.
const (
	DataSuffix     = ".data"
	ManifestSuffix = ".manifest"
	RecordSuffix   = ".json"
	PartSuffix     = ".part"
)

// NewID is an ID that nothing else has.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Directory is a depot's directory.
type Directory struct{ Path string }

// Open makes a directory in parent, or checks that the one which is there is ours
// alone: parent may be /tmp.
func Open(parent, name string) (Directory, error) {
	dir := filepath.Join(parent, name)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Directory{}, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return Directory{}, err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return Directory{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return Directory{}, fmt.Errorf("%s is not a directory that only this user may enter: remove it, or set another cache.directory", dir)
	}
	return Directory{dir}, nil
}

// Data is where the data of an ID are.
func (d Directory) Data(id string) string { return filepath.Join(d.Path, id+DataSuffix) }

// PutManifest makes the manifest of data durable that are.
func (d Directory) PutManifest(id string, m *kascade.Manifest) error {
	return d.put(id+ManifestSuffix, m.Encode())
}

// PutRecord makes the record durable, and with it the whole.
func (d Directory) PutRecord(id string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return d.put(id+RecordSuffix, text)
}

// put replaces a file: complete and durable, or as it was.
func (d Directory) put(name string, content []byte) error {
	part := filepath.Join(d.Path, name+PartSuffix)
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, filepath.Join(d.Path, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	dir, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Touch notes in the record's file when the data were used last; without a record it does nothing.
func (d Directory) Touch(id string, used time.Time) error {
	err := os.Chtimes(filepath.Join(d.Path, id+RecordSuffix), used, used)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Record reads a record, and when it was touched last.
func (d Directory) Record(id string, record any) (used time.Time, err error) {
	name := filepath.Join(d.Path, id+RecordSuffix)
	text, err := os.ReadFile(name)
	if err != nil {
		return used, err
	}
	if err := json.Unmarshal(text, record); err != nil {
		return used, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return used, err
	}
	return info.ModTime(), nil
}

// Manifest reads the manifest, and checks that it is of data of this size (bytes) and
// hash (BLAKE3 of the whole, hexadecimal), and that they are there.
func (d Directory) Manifest(id string, size int64, hash string) (*kascade.Manifest, error) {
	encoded, err := os.ReadFile(filepath.Join(d.Path, id+ManifestSuffix))
	if err != nil {
		return nil, err
	}
	m, err := kascade.DecodeManifest(encoded)
	if err != nil {
		return nil, err
	}
	data, err := os.Stat(d.Data(id))
	if err != nil {
		return nil, err
	}
	if size != data.Size() || size != m.Size || hash != hex.EncodeToString(m.Whole[:]) {
		return nil, errors.New("record, manifest and data do not fit together")
	}
	return m, nil
}

// Remove removes all of an ID, its record first.
func (d Directory) Remove(id string) error {
	var errs []error
	for _, suffix := range []string{RecordSuffix, ManifestSuffix, DataSuffix} {
		errs = append(errs, ifThere(os.Remove(filepath.Join(d.Path, id+suffix))))
	}
	return errors.Join(errs...)
}

// RemoveData removes the data alone, of which there must be no record.
func (d Directory) RemoveData(id string) error { return ifThere(os.Remove(d.Data(id))) }

func ifThere(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Recover calls load for each ID that has a record, and removes whatever belongs to
// none that load took without an error: what an earlier process has left unfinished.
func (d Directory) Recover(load func(id string) error) error {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	complete := map[string]bool{}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), RecordSuffix); ok {
			complete[id] = load(id) == nil
		}
	}
	var errs []error
	for _, e := range entries {
		if !complete[owner(e)] {
			errs = append(errs, os.RemoveAll(filepath.Join(d.Path, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// owner is the ID that a file belongs to.
func owner(e fs.DirEntry) string {
	id, _, _ := strings.Cut(e.Name(), ".")
	return id
}
