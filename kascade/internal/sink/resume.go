package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/zeebo/blake3"

	"kadeploy/kascade"
)

// Partial is a regular file that has its name only once it is complete, and that stays
// under another one, with a record of what was verified, if it is not: the next run goes
// on from there.
type Partial struct {
	path string // of the file at the end
	f    *os.File
	rec  *os.File // of verified chunks; nil until Resume
	held record
}

// Names beside the file.
func partOf(path string) string   { return hidden(path, ".kascade-part") }
func recordOf(path string) string { return hidden(path, ".kascade-record") }
func hidden(path, suffix string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+suffix)
}

// NewPartial opens a partial file, or begins one. It reads what is there, and returns
// what of it is still as its record says. A second process is kept off.
func NewPartial(path string) (*Partial, kascade.Held, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, kascade.Held{}, fmt.Errorf("--resume is for regular files, and %s is none", path)
	}
	f, err := os.OpenFile(partOf(path), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, kascade.Held{}, err
	}
	s := &Partial{path: path, f: f}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, kascade.Held{}, fmt.Errorf("%s is being written by another kascade: %w", path, err)
	}
	held, err := s.rehash()
	if err != nil {
		f.Close()
		return nil, kascade.Held{}, err
	}
	return s, held, nil
}

// rehash reads the partial file for as long as it is what the record says.
func (s *Partial) rehash() (kascade.Held, error) {
	rec, err := loadRecord(recordOf(s.path))
	if err != nil {
		return kascade.Held{}, s.f.Truncate(0) // none, or of no use: begin anew
	}
	h := kascade.Held{ChunkSize: rec.chunkSize}
	buf := make([]byte, rec.chunkSize)
	for _, want := range rec.digests {
		n, err := io.ReadFull(s.f, buf)
		if n == 0 || blake3.Sum256(buf[:n]) != want {
			break
		}
		h.Digests = append(h.Digests, want)
		h.Bytes += int64(n)
		if err != nil {
			break
		}
	}
	if h.Bytes == 0 {
		if _, err := s.f.Seek(0, io.SeekStart); err != nil {
			return kascade.Held{}, err
		}
		return kascade.Held{}, s.f.Truncate(0)
	}
	s.held = record{rec.chunkSize, rec.digests[:len(h.Digests)]}
	return h, nil
}

// Resume gives up what follows byte from, in the file and in the record.
func (s *Partial) Resume(from int64, chunkSize int) error {
	if err := s.f.Truncate(from); err != nil {
		return err
	}
	if _, err := s.f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	b := appendRecordHeader(nil, chunkSize)
	keep := (from + int64(chunkSize) - 1) / int64(chunkSize)
	for i := range min(keep, int64(len(s.held.digests))) {
		b = append(b, s.held.digests[i][:]...)
	}
	rec, err := os.OpenFile(recordOf(s.path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	s.rec = rec
	_, err = rec.Write(b)
	return err
}

func (s *Partial) Write(b []byte) (int, error) { return s.f.Write(b) }

// Verified notes a chunk. If the record cannot be written, only the next run is longer:
// it re-reads the file, and believes no record that does not match.
func (s *Partial) Verified(_ int, d kascade.Digest) {
	if s.rec == nil {
		return
	}
	if _, err := s.rec.Write(d[:]); err != nil {
		s.rec.Close()
		s.rec = nil
	}
}

// Commit makes the file durable, gives it its name, and forgets the record.
func (s *Partial) Commit(context.Context) error {
	defer s.Abort(nil)
	if err := s.f.Sync(); err != nil {
		return err
	}
	if err := s.f.Chmod(0o644); err != nil {
		return err
	}
	if err := os.Rename(partOf(s.path), s.path); err != nil {
		return err
	}
	if err := os.Remove(recordOf(s.path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// Abort leaves the partial file and its record for the next run.
func (s *Partial) Abort(error) {
	s.f.Close()
	if s.rec != nil {
		s.rec.Close()
	}
}
