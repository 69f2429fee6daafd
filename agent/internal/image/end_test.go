package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// How archives may end is GNU tar's to say: one block of zeros is an end too. But
// what is damaged behind a file that ends in zeros is no end.
func TestEndsLikeGNUTar(t *testing.T) {
	needRoot(t)
	zeros, junk := make([]byte, tarBlock), bytes.Repeat([]byte("junk"), tarBlock/4)
	whole := archiveOf(t, directory("./"), directory("d"), reg("d/f", 700))
	open := bytes.TrimRight(whole, "\x00")
	open = append(open, make([]byte, -len(open)&(tarBlock-1))...) // to the end of the last file's block
	for name, end := range map[string][]byte{
		"one block":          zeros,
		"one block and junk": append(bytes.Clone(zeros), junk...),
		"two and junk":       append(make([]byte, 2*tarBlock), junk...),
		"much padding":       make([]byte, 100*tarBlock),
	} {
		t.Run(name, func(t *testing.T) {
			compareWithGNU(t, archiveFile(t, append(bytes.Clone(open), end...)))
		})
	}
	sparse := archiveOf(t, reg("zeros", tarBlock))
	sparse = append(sparse[:tarBlock], append(zeros, junk...)...) // the file's block of zeros, and a broken header
	for name, archive := range map[string][]byte{"behind a file": append(bytes.Clone(open), junk...), "behind zeros": sparse} {
		if _, err := extract(t, archive, t.TempDir(), None); err == nil {
			t.Errorf("%s: damage was taken for the end", name)
		}
	}
}

// A map of holes that the parser does not take is told of with its remedy.
func TestSparseMapTooLong(t *testing.T) {
	needRoot(t)
	holes := 120_000
	var table strings.Builder
	fmt.Fprintf(&table, "%d\n", holes)
	for i := range holes {
		fmt.Fprintf(&table, "%d\n1\n", 8192*i)
	}
	padded := table.String() + strings.Repeat("\x00", -table.Len()&(tarBlock-1))
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "placeholder", Size: int64(len(padded) + holes), Format: tar.FormatPAX, PAXRecords: map[string]string{"XYZ.sparse.major": "1", "XYZ.sparse.minor": "0"}},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(append([]byte(padded), make([]byte, holes)...)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The writer refuses to say what GNU tar says.
	archive := bytes.ReplaceAll(buf.Bytes(), []byte(" XYZ.sparse."), []byte(" GNU.sparse."))
	_, err := extract(t, archive, t.TempDir(), None)
	if err == nil || !strings.Contains(err.Error(), "without --sparse") {
		t.Errorf("error %v, want its remedy", err)
	}
}
