package image

import (
	"testing"

	"golang.org/x/sys/unix"

	"kadeploy/proto/image/imagetest"
)

// Short names of what tests of images share.
var (
	readTree    = imagetest.ReadTree
	readXattrs  = imagetest.ReadXattrs
	tool        = imagetest.Tool
	gnuExtract  = imagetest.GNUExtract
	tortureTree = func(t *testing.T, dir string) { imagetest.TortureTree(t, dir) }
)

// extract feeds an archive to a sink in pieces of odd sizes.
func extract(t testing.TB, archive []byte, dir, compression string) (Stats, error) {
	t.Helper()
	s, err := NewTarSink(t.Context(), TarOptions{Root: dir, Compression: compression})
	if err != nil {
		return Stats{}, err
	}
	for i, rest := 0, archive; len(rest) > 0; i++ {
		n := min(len(rest), 1+i*7919%300000)
		if _, err := s.Write(rest[:n]); err != nil {
			s.Abort(err)
			return s.Stats(), err
		}
		rest = rest[n:]
	}
	err = s.Commit(t.Context())
	return s.Stats(), err
}

// allocated is how many bytes of its file system a file takes.
func allocated(t testing.TB, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
