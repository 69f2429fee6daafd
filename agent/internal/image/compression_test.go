package image

import (
	"archive/tar"
	"bytes"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"kadeploy/agent/internal/fault"
)

// compress is done by the tools that people make images with.
func compress(t testing.TB, data []byte, compression string, args ...string) []byte {
	t.Helper()
	if compression == None {
		return data
	}
	cmd := exec.CommandContext(t.Context(), compression, append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", compression, err)
	}
	return out
}

var allCompressions = []string{None, Gzip, Bzip2, XZ, Zstd, LZ4}

func randomArchive(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	rnd := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{100, 70000, 900000, 0, 5000} {
		b := make([]byte, size)
		rnd.Read(b)
		if err := w.WriteHeader(&tar.Header{Name: "f" + string(rune('a'+size%26)), Size: int64(size), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestDecompressEveryKind(t *testing.T) {
	archive := randomArchive(t)
	for _, tt := range []struct {
		compression string
		args        []string
	}{
		{None, nil}, {Gzip, nil}, {Bzip2, nil}, {XZ, nil}, {XZ, []string{"-T2", "--block-size=100000"}}, {Zstd, nil},
		{Zstd, []string{"--long=27", "-19"}}, {Zstd, []string{"--no-check"}}, {LZ4, nil}, {LZ4, []string{"-l"}},
		{LZ4, []string{"-9", "-BD", "--content-size"}},
	} {
		dir := t.TempDir()
		stats, err := extract(t, compress(t, archive, tt.compression, tt.args...), dir, tt.compression)
		if err != nil {
			t.Errorf("%s %v: %v", tt.compression, tt.args, err)
			continue
		}
		if stats.Written != int64(len(archive)) || stats.Entries != 5 {
			t.Errorf("%s %v: %+v, want %d bytes and 5 entries", tt.compression, tt.args, stats, len(archive))
		}
	}
}

// Images are often made in parts: several streams one after the other are one.
func TestDecompressConcatenated(t *testing.T) {
	archive := randomArchive(t)
	for _, c := range []string{Gzip, Bzip2, XZ, Zstd, LZ4} {
		half := len(archive) / 2
		both := append(compress(t, archive[:half], c), compress(t, archive[half:], c)...)
		if stats, err := extract(t, both, t.TempDir(), c); err != nil || stats.Entries != 5 {
			t.Errorf("%s: two streams: %+v, %v, want 5 entries", c, stats, err)
		}
	}
}

func TestDecompressMismatch(t *testing.T) {
	archive := randomArchive(t)
	for _, content := range allCompressions {
		data := compress(t, archive, content)
		for _, said := range allCompressions {
			if said == content {
				continue
			}
			_, err := extract(t, data, t.TempDir(), said)
			if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), said) || !strings.Contains(err.Error(), "image.compression") {
				t.Errorf("%s said to be %s: %v, want a mismatch that says how to correct it", content, said, err)
			}
		}
	}
	if _, err := extract(t, archive, t.TempDir(), "lzma"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("unknown compression: %v, want an invalid request", err)
	}
}

func TestTruncatedImage(t *testing.T) {
	archive := randomArchive(t)
	for _, c := range allCompressions {
		data := compress(t, archive, c)
		cuts := []int{0, 1, 300, len(data) / 2, len(data) * 9 / 10, len(data) - 1}
		if c == None {
			cuts = append(cuts[:5], len(archive)-5000-1024-500, len(archive)-10240) // at the end mark, blocks intact
		}
		for _, n := range cuts {
			_, err := extract(t, data[:n], t.TempDir(), c)
			if err == nil {
				t.Errorf("%s: %d of %d bytes: extracted without an error", c, n, len(data))
			}
		}
	}
}

func TestCorruptImage(t *testing.T) {
	archive := randomArchive(t)
	for _, c := range []string{Gzip, Bzip2, XZ, Zstd, LZ4} { // those with a sum over the content
		data := compress(t, archive, c)
		data[len(data)/2] ^= 1
		_, err := extract(t, data, t.TempDir(), c)
		// Bzip2's sum stands behind its block: the archive's parser may stumble first.
		if err == nil || !strings.Contains(err.Error(), "decompress ("+c+")") && (c != Bzip2 || !strings.Contains(err.Error(), "corrupt")) {
			t.Errorf("%s with a flipped bit: %v, want an error of the decompressor", c, err)
		}
	}
	text := bytes.Repeat([]byte("not an archive\n"), 1000)
	if _, err := extract(t, text, t.TempDir(), None); err == nil || !strings.Contains(err.Error(), "not a tar archive") {
		t.Errorf("text: %v, want: not a tar archive", err)
	}
}
