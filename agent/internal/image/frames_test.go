package image

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"kadeploy/proto/image/frames"
)

// inFrames is data in frames of a size.
func inFrames(t testing.TB, data []byte, size int) []byte {
	t.Helper()
	var body bytes.Buffer
	x, err := frames.Encode(t.Context(), &body, bytes.NewReader(data), frames.Options{FrameSize: size})
	if err != nil {
		t.Fatal(err)
	}
	return append(x.Encode(), body.Bytes()...)
}

func TestExtractFrames(t *testing.T) {
	archive := randomArchive(t)
	for _, size := range []int{1000, 64 << 10, frames.DefaultFrameSize, frames.MaxFrameSize} {
		stats, err := extract(t, inFrames(t, archive, size), t.TempDir(), Zstd)
		if err != nil || stats.Written != int64(len(archive)) || stats.Entries != 5 {
			t.Errorf("frames of %d bytes: %+v, %v; want %d bytes and 5 entries", size, stats, err, len(archive))
		}
	}
}

// A frame that is not what the index says, or not whole, is an error that says where.
func TestFramesDamaged(t *testing.T) {
	archive := randomArchive(t)
	good := inFrames(t, archive, 100_000)
	x, err := frames.ReadIndex(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	index := len(x.Encode())
	third := index + int(x.Frames[0].Compressed+x.Frames[1].Compressed+x.Frames[2].Compressed)
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"content":   {func(b []byte) []byte { b[third+50_000] ^= 1; return b }, "frame 3"},
		"header":    {func(b []byte) []byte { b[third+5] ^= 1; return b }, "frame 3"},
		"index":     {func(b []byte) []byte { b[60] ^= 1; return b }, "checksum"},
		"truncated": {func(b []byte) []byte { return b[:third+10] }, "truncated"},
		"no frames": {func(b []byte) []byte { return b[:index] }, "truncated"},
		"longer":    {func(b []byte) []byte { return append(b, 0) }, "after the last frame"},
		"swapped": {func(b []byte) []byte {
			first, second := b[index:index+int(x.Frames[0].Compressed)], b[third:third+int(x.Frames[3].Compressed)]
			return bytes.Join([][]byte{b[:index], second, b[index+len(first) : third], first, b[third+len(second):]}, nil)
		}, ""},
	} {
		_, err := extract(t, c.change(bytes.Clone(good)), t.TempDir(), Zstd)
		if name == "swapped" && x.Frames[0].Compressed == x.Frames[3].Compressed {
			continue // the manifest of the transfer tells them apart
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

// An index of a later version is skipped, as by any decoder of zstd.
func TestFramesOfAnotherVersion(t *testing.T) {
	archive := randomArchive(t)
	data := inFrames(t, archive, 100_000)
	data[16] = frames.Version + 1
	if stats, err := extract(t, data, t.TempDir(), Zstd); err != nil || stats.Entries != 5 {
		t.Errorf("extract = %+v, %v; want 5 entries", stats, err)
	}
}

// FuzzFrames throws files of frames at the decoder of many processors.
func FuzzFrames(f *testing.F) {
	for _, size := range []int{7, 100} {
		f.Add(inFrames(f, bytes.Repeat([]byte("kadeploy frames "), 20), size))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decompress(bytes.NewReader(data), Zstd)
		if err != nil {
			return
		}
		defer d.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(d, 64<<20))
		if err != nil || !frames.Sniff(data) {
			return
		}
		x, err := frames.ReadIndex(bytes.NewReader(data))
		if size, _ := x.Totals(); err != nil || uint64(n) != min(size, 64<<20) {
			t.Errorf("%d bytes were decoded without error; the index: %v", n, err)
		}
	})
}
