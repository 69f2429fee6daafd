package image

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/agent/internal/fault"
)

// The kind is the description's; content that is of another one is refused, with
// what it is and what to change.
func TestKindMismatch(t *testing.T) {
	dir := t.TempDir()
	file := func(name, script string) []byte {
		path := filepath.Join(dir, name)
		tool(t, "", "bash", "-ec", script, path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	archive := randomArchive(t)
	ext := file("ext", "truncate -s 4M $0; mke2fs -q -t ext4 $0")
	gpt := file("gpt", "truncate -s 4M $0; sgdisk -n 1:0:0 $0 >&2")
	fat := file("fat", "truncate -s 4M $0; mkfs.vfat $0 >&2")
	cpio := file("cpio", "cd / && echo etc/passwd | cpio -o -H newc > $0")
	for _, tt := range []struct {
		name, kind string
		content    []byte
		want       []string
	}{
		{"archive as disk", "dd", archive, []string{"kind dd", "a tar archive", "set image.kind to tar"}},
		{"fsarchiver's as disk", "dd", append([]byte("FsA0"), make([]byte, 9000)...), []string{"kind dd", "fsarchiver", "set image.kind to fsa"}},
		{"cpio as disk", "dd", cpio, []string{"cpio", "correct image.file"}},
		{"twice compressed disk", "dd", compress(t, ext, Zstd), []string{"compressed twice", "zstd"}},
		{"file system as archive", "tar", ext, []string{"kind tar", "ext file system", "set image.kind to dd"}},
		{"disk as archive", "tar", gpt, []string{"kind tar", "GPT", "set image.kind to dd"}},
		{"FAT as archive", "tar", fat, []string{"kind tar", "FAT", "set image.kind to dd"}},
		{"fsarchiver's as archive", "tar", append([]byte("FsA0"), make([]byte, 9000)...), []string{"set image.kind to fsa"}},
		{"cpio as archive", "tar", cpio, []string{"cpio", "correct image.file"}},
		{"twice compressed archive", "tar", compress(t, archive, XZ), []string{"compressed twice", "xz"}},
		{"zeros as archive", "tar", make([]byte, 1<<20), []string{"holds no file"}},
	} {
		disk := filepath.Join(dir, "disk")
		if err := os.WriteFile(disk, bytes.Repeat([]byte{1}, 16<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		data := compress(t, tt.content, Gzip)
		var err error
		if tt.kind == "dd" {
			_, err = writeRaw(t, data, RawOptions{Device: disk, Compression: Gzip})
		} else {
			_, err = extract(t, data, t.TempDir(), Gzip)
		}
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want an invalid request", tt.name, err)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", tt.name, err, w)
			}
		}
		if b, err := os.ReadFile(disk); err != nil || bytes.Count(b, []byte{1}) != len(b) {
			t.Errorf("%s: the disk was written to (%v)", tt.name, err)
		}
	}
	for name, content := range map[string][]byte{"ext": ext, "GPT": gpt, "FAT": fat, "text": []byte("anything\n"), "zeros": make([]byte, 3<<20)} {
		disk := filepath.Join(dir, "disk")
		if _, err := writeRaw(t, content, RawOptions{Device: disk, Compression: None}); err != nil {
			t.Errorf("%s as disk: %v", name, err)
		}
	}
}
