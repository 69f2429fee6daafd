package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/coordinator/internal/imagecache"
)

func TestServerFilesAreReadOnlyForThoseWhoMay(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become others")
	}
	dir, err := os.MkdirTemp("/tmp", "kadeploy-open-") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const uid = 65534
	open := openForUser([]string{filepath.Join(dir, "images")})
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"public": 0o644, "secret": 0o600, "images/secret": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(dir, "images/link")); err != nil {
		t.Fatal(err)
	}
	local := imagecache.User{Name: "nobody", Local: true, UID: uid}
	root := imagecache.User{Name: "root", Local: true, UID: 0}
	remote := imagecache.User{Name: "root", UID: -1} // says he
	for _, c := range []struct {
		name string
		by   imagecache.User
		path string
		ok   bool
		why  string
	}{
		{"local user, readable", local, "public", true, ""},
		{"local user, not readable", local, "secret", false, "permission denied"},
		{"local user, open to all", local, "images/secret", true, ""},
		{"local user, link out of it", local, "images/link", false, ""},
		{"root", root, "secret", true, ""},
		{"remote user", remote, "public", false, "server_directories"},
		{"remote user, not readable", remote, "secret", false, "server_directories"},
		{"remote user, open to all", remote, "images/secret", true, ""},
		{"remote user, link out of it", remote, "images/link", false, ""},
		{"nothing said of the user", imagecache.User{}, "public", false, ""},
	} {
		f, err := open(t.Context(), c.by, filepath.Join(dir, c.path))
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", c.name, err)
		}
		if f != nil {
			f.Close()
		}
	}
}
