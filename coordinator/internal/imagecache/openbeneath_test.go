package imagecache

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestOpenBeneath(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "images")
	for _, d := range []string{dir, filepath.Join(dir, "old"), filepath.Join(root, "images2")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"images/a", "images/old/b", "images2/c", "secret"} {
		write(t, filepath.Join(root, name), "content")
	}
	for link, to := range map[string]string{"inside": "old/b", "outside": "../secret", "absolute": filepath.Join(dir, "a"), "up": "old/../../secret"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, ok := range map[string]bool{
		"images/a": true, "images/old/b": true, "images/inside": true,
		"images/outside": false, "images/absolute": false, "images/up": false,
		"images2/c": false, "secret": false, "images/../secret": false, "images": false, "images/none": false,
	} {
		f, err := OpenBeneath([]string{filepath.Join(root, "none"), dir}, filepath.Join(root, path))
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
		if f == nil {
			continue
		}
		if data, err := io.ReadAll(f); err != nil || string(data) != "content" {
			t.Errorf("%s: %q, %v", path, data, err)
		}
		f.Close()
	}
}
