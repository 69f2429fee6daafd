package extfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// headers is an archive without contents.
func headers(t *testing.T, list ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range list {
		h.ModTime = time.Unix(1e9, 0)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

// What an archive makes the coordinator keep in memory is bounded.
func TestWordsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 4000)
	for name, h := range map[string]tar.Header{
		"attributes": {Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.user.a": long}},
		"lists":      {Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.acl.access": strings.Repeat("user:joe:r--,", 300)}},
		"targets":    {Typeflag: tar.TypeSymlink, Linkname: long},
		"names":      {Typeflag: tar.TypeDir, Name: long[:200]},
	} {
		var list []tar.Header
		for i := range 400 {
			each := h
			each.Name += fmt.Sprint(i)
			list = append(list, each)
		}
		tree := newTree(time.Unix(0, 0))
		tree.maxWords = 64 << 10
		if err := tree.read(t.Context(), bytes.NewReader(headers(t, list...))); !errors.Is(err, ErrUnsuitable) {
			t.Errorf("%s: %v, want ErrUnsuitable", name, err)
		}
	}
}

// zeros goes on for ever, and counts.
type zeros struct{ read int64 }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.read += int64(len(p))
	return len(p), nil
}

// A file that cannot have room is not read to its end.
func TestSizeIsBounded(t *testing.T) {
	z := &zeros{}
	archive := io.MultiReader(bytes.NewReader(headers(t, tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: 1 << 50})), z)
	tree := newTree(time.Unix(0, 0))
	tree.maxData = 1 << 30
	if err := tree.read(t.Context(), archive); !errors.Is(err, ErrNoRoom) || z.read > 1<<20 {
		t.Errorf("%v after %d bytes, want ErrNoRoom at once", err, z.read)
	}
}

// Reading ends with its context in the middle of a file.
func TestReadingIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	archive := io.MultiReader(bytes.NewReader(headers(t, tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: 1 << 50})), &zeros{})
	if err := newTree(time.Unix(0, 0)).read(ctx, archive); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's end", err)
	}
}
