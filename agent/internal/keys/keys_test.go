package keys

import (
	"os"
	"path/filepath"
	"testing"

	"kadeploy/agent/internal/fault"
)

func TestInstall(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "root/.ssh/authorized_keys")
	for _, c := range []struct {
		name, lines string
		replace     bool
		want        string
	}{
		{"first", "ssh-ed25519 AAA a", false, "ssh-ed25519 AAA a\n"},
		{"again", "ssh-ed25519 AAA a\n", false, "ssh-ed25519 AAA a\n"},
		{"another", "\nssh-ed25519 BBB b\nssh-ed25519 AAA a\n", false, "ssh-ed25519 AAA a\nssh-ed25519 BBB b\n"},
		{"replace", "ssh-ed25519 CCC c", true, "ssh-ed25519 CCC c\n"},
	} {
		if err := Install(root, []byte(c.lines), c.replace); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got, _ := os.ReadFile(path); string(got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for name, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %v", name, info.Mode(), err, mode)
		}
	}
	if err := Install(root, []byte(" \n"), false); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no keys: %v", err)
	}
}

func TestInstallStaysInside(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "root")); err != nil {
		t.Fatal(err)
	}
	// The link is the image's; seen from inside, what it names is not there.
	if err := Install(root, []byte("ssh-ed25519 AAA a"), false); err == nil {
		t.Error("keys were installed through a link that leads out")
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside of the root: %v", left)
	}
}
