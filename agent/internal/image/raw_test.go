package image

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
)

// writeRaw writes an image onto a device, as it arrives in pieces.
func writeRaw(t testing.TB, image []byte, opts RawOptions) (Stats, error) {
	t.Helper()
	s, err := NewRawSink(t.Context(), opts)
	if err != nil {
		return Stats{}, err
	}
	for rest := image; len(rest) > 0; {
		n := min(len(rest), 300_001)
		if _, err := s.Write(rest[:n]); err != nil {
			s.Abort(err)
			return s.Stats(), err
		}
		rest = rest[n:]
	}
	err = s.Commit(t.Context())
	return s.Stats(), err
}

// sparseImage has data in places that are not multiples of anything.
func sparseImage(size int) []byte {
	rnd := rand.NewChaCha8([32]byte{2})
	image := make([]byte, size-700)
	rnd.Read(image[100:5000])
	rnd.Read(image[1<<20 : 1<<20+70000])
	rnd.Read(image[3<<20 : 3<<20+1])
	rnd.Read(image[9<<20-5000 : 9<<20+5000]) // over the limit of two buffers
	rnd.Read(image[len(image)-3:])
	return image
}

// What was on a device before is gone where the image has zeros, on a device
// that can punch holes (a loop device) as on a file; what lies behind the image stays.
func TestRawOverStaleContent(t *testing.T) {
	needRoot(t)
	const size = 20 << 20
	image := sparseImage(16 << 20)
	for _, c := range allCompressions {
		for _, kind := range []string{"file", "loop", "4096 bytes a block"} {
			path := filepath.Join(t.TempDir(), "disk")
			old := bytes.Repeat([]byte{0xa5}, size)
			if err := os.WriteFile(path, old, 0o600); err != nil {
				t.Fatal(err)
			}
			dev := path
			switch kind {
			case "loop":
				dev = loop(t, path)
			case "4096 bytes a block":
				dev = loop(t, path, "--sector-size", "4096")
			}
			stats, err := writeRaw(t, compress(t, image, c), RawOptions{Device: dev, Compression: c, Size: int64(len(image))})
			if err != nil {
				t.Fatalf("%s, %s: %v", c, kind, err)
			}
			got, err := os.ReadFile(dev)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[:len(image)], image) || !bytes.Equal(got[len(image):], old[len(image):]) {
				t.Errorf("%s, %s: the device does not hold the image, and what was there behind it", c, kind)
			}
			if stats.Written != int64(len(image)) {
				t.Errorf("%s, %s: Written = %d, want %d", c, kind, stats.Written, len(image))
			}
		}
	}
}

// Zeros take no room below a device that can give it back.
func TestRawZerosAreNotWritten(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "disk")
	tool(t, "", "dd", "if=/dev/urandom", "of="+path, "bs=1M", "count=64", "status=none")
	if _, err := writeRaw(t, make([]byte, 64<<20), RawOptions{Device: loop(t, path), Compression: None}); err != nil {
		t.Fatal(err)
	}
	tool(t, "", "sync", path)
	if n := allocated(t, path); n > 1<<20 {
		t.Errorf("64 MiB of zeros take %d bytes of the disk's file, want holes", n)
	}
}

func TestRawTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	image := bytes.Repeat([]byte("x"), 4<<20)
	for _, tt := range []struct {
		opts RawOptions
		want string
	}{
		{RawOptions{Device: path, Compression: None}, "the image has at least 2097152 bytes, the device only 1048576: choose a larger"},
		{RawOptions{Device: path, Compression: None, Size: 4 << 20}, "the image has 4194304 bytes, the device only 1048576: choose a larger"},
		{RawOptions{Device: path, Compression: Zstd}, "the image has at least 2097152 bytes, the device only 1048576: choose a larger"},
	} {
		_, err := writeRaw(t, compress(t, image, tt.opts.Compression), tt.opts)
		if fault.KindOf(err) != fault.Precondition || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.opts, err, tt.want)
		}
	}
	// To the very last byte it fits.
	if _, err := writeRaw(t, image[:1<<20], RawOptions{Device: path, Compression: None}); err != nil {
		t.Error(err)
	}
}

func TestRawDeviceInUse(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "disk")
	tool(t, "", "bash", "-ec", `truncate -s 16M $0; mke2fs -q -t ext4 $0`, path)
	dev, dir := loop(t, path), t.TempDir()
	tool(t, "", "mount", dev, dir)
	defer tool(t, "", "umount", dir)
	_, err := NewRawSink(t.Context(), RawOptions{Device: dev, Compression: None})
	if fault.KindOf(err) != fault.Precondition || !strings.Contains(err.Error(), "mounted or in use") {
		t.Errorf("a mounted device: %v, want a refusal", err)
	}
}

// A disk whose room ends in the middle of the image fails with its name.
func TestRawFailingDisk(t *testing.T) {
	needRoot(t)
	small := t.TempDir()
	tool(t, "", "mount", "-t", "tmpfs", "-o", "size=4M", "none", small)
	t.Cleanup(func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(small, "disk")
	tool(t, "", "truncate", "-s", "64M", path)
	dev := loop(t, path)
	rnd := rand.NewChaCha8([32]byte{3})
	image := make([]byte, 32<<20)
	rnd.Read(image)
	if _, err := writeRaw(t, image, RawOptions{Device: dev, Compression: None}); err == nil || !strings.Contains(err.Error(), dev) {
		t.Errorf("a disk without room below it: %v, want an error that names %s", err, dev)
	}
}
