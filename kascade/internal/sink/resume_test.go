package sink

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zeebo/blake3"

	"kadeploy/kascade"
)

const chunk = 1024

// put writes chunks of data from a byte on, and notes them.
func put(t *testing.T, s *Partial, data []byte, from, to int) {
	t.Helper()
	for at := from; at < to; at += chunk {
		c := data[at:min(at+chunk, to)]
		if _, err := s.Write(c); err != nil {
			t.Fatal(err)
		}
		s.Verified(at/chunk, blake3.Sum256(c))
	}
}

func TestPartial(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000) // 9 chunks and a part
	for _, c := range []struct {
		name   string
		harm   func(t *testing.T, path string)
		wrote  int
		held   int64 // that the second run finds
		resume int64 // where the head lets it go on
	}{
		{"interrupted between chunks", nil, 5 * chunk, 5 * chunk, 5 * chunk},
		{"interrupted before the end", nil, len(data), int64(len(data)), int64(len(data))},
		{"the head has another source", nil, 5 * chunk, 5 * chunk, 0},
		{"the head's differs later", nil, 5 * chunk, 5 * chunk, 2 * chunk},
		{"nothing was written", nil, 0, 0, 0},
		{"a chunk was damaged meanwhile", func(t *testing.T, path string) { flip(t, partOf(path), 2*chunk+5) }, 5 * chunk, 2 * chunk, 2 * chunk},
		{"the file was cut", func(t *testing.T, path string) { cut(t, partOf(path), 3*chunk+1) }, 5 * chunk, 3 * chunk, 3 * chunk},
		{"the record was cut", func(t *testing.T, path string) { cut(t, recordOf(path), recordHeader+2*digestSize+1) }, 5 * chunk, 2 * chunk, 2 * chunk},
		{"the record is rubbish", func(t *testing.T, path string) { flip(t, recordOf(path), 1) }, 5 * chunk, 0, 0},
		{"no record", func(t *testing.T, path string) { os.Remove(recordOf(path)) }, 5 * chunk, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, held, err := NewPartial(path)
			if err != nil || held.Bytes != 0 {
				t.Fatalf("NewPartial: %+v, %v", held, err)
			}
			if _, _, err := NewPartial(path); err == nil {
				t.Error("two at once")
			}
			if err := s.Resume(0, chunk); err != nil {
				t.Fatal(err)
			}
			put(t, s, data, 0, c.wrote)
			s.Abort(errors.New("the power fails"))
			if c.harm != nil {
				c.harm(t, path)
			}
			if b, _ := os.ReadFile(path); string(b) != "old" {
				t.Errorf("the file is %.10q before the end", b)
			}
			s, held, err = NewPartial(path)
			if err != nil {
				t.Fatal(err)
			}
			if held.Bytes != c.held || len(held.Digests) != int((c.held+chunk-1)/chunk) || c.held > 0 && held.ChunkSize != chunk {
				t.Errorf("held %d bytes, %d digests, want %d bytes", held.Bytes, len(held.Digests), c.held)
			}
			if err := s.Resume(c.resume, chunk); err != nil {
				t.Fatal(err)
			}
			put(t, s, data, int(c.resume), len(data))
			if rec, err := loadRecord(recordOf(path)); err != nil || !slices.Equal(rec.digests, digestsOf(data)) {
				t.Errorf("the record has %d digests, %v", len(rec.digests), err)
			}
			if err := s.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, data) {
				t.Errorf("the file has %d bytes, %v", len(b), err)
			}
			if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

func digestsOf(data []byte) (all [][digestSize]byte) {
	for at := 0; at < len(data); at += chunk {
		all = append(all, blake3.Sum256(data[at:min(at+chunk, len(data))]))
	}
	return all
}

func flip(t *testing.T, path string, at int) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string, size int64) {
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestPartialIsForFiles(t *testing.T) {
	if _, _, err := NewPartial("/dev/null"); err == nil {
		t.Error("a device can be resumed")
	}
	if _, _, err := NewPartial(t.TempDir() + "/no/such"); err == nil {
		t.Error("a file in no directory was opened")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(append(appendRecordHeader(nil, chunk), make([]byte, 70)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := readRecord(bytes.NewReader(b))
		if err != nil {
			return
		}
		again := appendRecordHeader(nil, rec.chunkSize)
		for _, d := range rec.digests {
			again = append(again, d[:]...)
		}
		if got, err := readRecord(bytes.NewReader(again)); err != nil || got.chunkSize != rec.chunkSize || !slices.Equal(got.digests, rec.digests) {
			t.Errorf("%v came back as %v, %v", rec, got, err)
		}
	})
}

var (
	_ kascade.Sink     = (*Partial)(nil)
	_ kascade.Resumer  = (*Partial)(nil)
	_ kascade.Verified = (*Partial)(nil)
	_ io.Writer        = (*Tree)(nil)
)
