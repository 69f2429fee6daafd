package prepare

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"

	"kadeploy/proto/image/blocks"
	"kadeploy/proto/image/frames"
	"kadeploy/proto/image/imagetest"
)

// archive makes an image of a tree.
func archive(t testing.TB, tree, option, compression string) Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	imagetest.Tool(t, "", "tar", "-cf", path, option, "-C", tree, "--format=posix", "--acls", "--xattrs", "--xattrs-include=*", "-S", ".")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := blake3.Sum256(data)
	return Image{Path: path, Size: int64(len(data)), Hash: hex.EncodeToString(sum[:]), Kind: "tar", Compression: compression, Filesystem: "ext4"}
}

// write puts a stream of blocks onto a disk, as a node does.
func write(t testing.TB, path, disk string) *blocks.Header {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	index, err := frames.ReadIndex(f)
	if err != nil {
		t.Fatal(err)
	}
	d, err := frames.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var plain []byte
	for _, e := range index.Frames {
		stored := make([]byte, e.Compressed)
		if _, err := io.ReadFull(f, stored); err != nil {
			t.Fatal(err)
		}
		out, err := d.Decode(make([]byte, e.Size), stored, e)
		if err != nil {
			t.Fatal(err)
		}
		plain = append(plain, out...)
	}
	r := bytes.NewReader(plain)
	h, err := blocks.ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	data, out := plain[h.DataOffset():], bytes.Repeat([]byte("garbage!"), int(h.Size())/8)
	for p := range h.Places(0, h.DataSize()) {
		data = data[copy(out[p.Offset:p.Offset+p.Size], data):]
	}
	for z := range h.Zeros() {
		clear(out[z.Offset : z.Offset+z.Size])
	}
	if err := os.WriteFile(disk, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// An image in blocks, on a disk full of garbage, grown and with a new UUID, is
// what GNU tar extracts, entry by entry, and stays so.
func TestBlocks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts what was made: run it as root")
	}
	tree := t.TempDir()
	imagetest.TortureTree(t, tree)
	s := open(t, t.TempDir(), 1<<30, Blocks{})
	for _, c := range []struct{ option, compression, mkfs string }{
		{"--zstd", "zstd", ""}, {"-z", "gzip", "-m 1 -i 8192"}, {"-J", "xz", "-O ^metadata_csum"},
	} {
		t.Run(c.compression, func(t *testing.T) {
			im := archive(t, tree, c.option, c.compression)
			im.MkfsArguments = c.mkfs
			s.Begin(im, "blocks")
			settle(s)
			p, err := s.Take(t.Context(), im, "blocks", "W")
			if err != nil {
				t.Fatal(err)
			}
			content(t, p)
			disk := filepath.Join(t.TempDir(), "disk")
			h := write(t, p.Path, disk)
			if err := os.Truncate(disk, h.Size()+300<<20); err != nil {
				t.Fatal(err)
			}
			for _, command := range [][]string{{"resize2fs", disk}, {"tune2fs", "-U", "random", disk}, {"e2fsck", "-f", "-n", disk}} {
				if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", command, err, out)
				}
			}
			compareTrees(t, im.Path, disk)
		})
	}
	entries, err := filepath.Glob(filepath.Join(s.dir.Path, scratchPrefix+"*"))
	if err != nil || len(entries) > 0 {
		t.Errorf("scratch files are left: %v, %v", entries, err)
	}
}

// compareTrees mounts a file system twice: what the kernel writes between is on it too.
func compareTrees(t *testing.T, archive, disk string) {
	t.Helper()
	want, got := t.TempDir(), t.TempDir()
	imagetest.GNUExtract(t, archive, want)
	for _, options := range []string{"loop", "loop,ro"} {
		imagetest.Tool(t, "", "mount", "-o", options, disk, got)
		tree := imagetest.ReadTree(t, got)
		imagetest.Tool(t, "", "umount", got)
		delete(tree, "lost+found")
		if diff := cmp.Diff(imagetest.ReadTree(t, want), tree); diff != "" {
			t.Errorf("mounted with %s (-GNU tar's extraction +ours):\n%s", options, diff)
		}
	}
}

// An image that cannot be extracted is not prepared, and one that only cannot be
// prepared is declined; nothing is left of either.
func TestBlocksUnsuitable(t *testing.T) {
	s, err := New(Config{Directory: t.TempDir(), Size: 1 << 30, Forms: []Form{Blocks{}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	im := image(t, "this is no archive")
	im.Compression = "none"
	s.Begin(im, "blocks")
	settle(s)
	if _, err := s.Take(t.Context(), im, "blocks", "W"); err == nil || errors.Is(err, ErrDeclined) || errors.Is(err, ErrNotReady) {
		t.Errorf("Take of what is no archive = %v, want a failure", err)
	}
	for name, change := range map[string]func(*Image){
		"kind": func(im *Image) { im.Kind = "dd" }, "file system": func(im *Image) { im.Filesystem = "xfs" },
		"arguments": func(im *Image) { im.MkfsArguments = "-N 5" },
	} {
		other := im
		change(&other)
		if _, err := s.Take(t.Context(), other, "blocks", "W"); !errors.Is(err, ErrUnsuitable) {
			t.Errorf("Take with another %s = %v, want ErrUnsuitable", name, err)
		}
	}
	tree := t.TempDir()
	im = archive(t, tree, "--no-recursion", "none")
	im.MkfsArguments = "-O bigalloc"
	s.Begin(im, "blocks")
	settle(s)
	if _, err := s.Take(t.Context(), im, "blocks", "W"); !errors.Is(err, ErrDeclined) {
		t.Errorf("Take with a feature that is not known = %v, want ErrDeclined", err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir.Path, "*")); len(left) != 1 {
		t.Errorf("files = %v, want the record of the declined one only", left)
	}
}
