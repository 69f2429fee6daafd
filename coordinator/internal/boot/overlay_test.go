package boot

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"
)

func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	keys, secret := filepath.Join(dir, "keys"), filepath.Join(dir, "secret")
	write(t, keys, "ssh-ed25519 AAAA deploy\n", 0o644)
	write(t, secret, "s", 0o600)
	files := map[string]string{"/root/.ssh/authorized_keys": keys, "etc/kadeploy/secret": secret, "/etc/kadeploy/../motd": keys}
	first, err := buildOverlay(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(keys, time.Unix(1, 0), time.Unix(1, 0)); err != nil { // another time must not change it
		t.Fatal(err)
	}
	second, err := buildOverlay(files)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the same files give different overlays")
	}
	want := strings.Join([]string{
		"drwxr-xr-x etc", "drwxr-xr-x etc/kadeploy", "-rw------- etc/kadeploy/secret s",
		"-rw-r--r-- etc/motd ssh-ed25519 AAAA deploy", "drwx------ root", "drwx------ root/.ssh",
		"-rw-r--r-- root/.ssh/authorized_keys ssh-ed25519 AAAA deploy",
	}, "\n")
	if diff := cmp.Diff(want, listing(t, first)); diff != "" {
		t.Errorf("overlay (-want +got):\n%s", diff)
	}
}

func TestOverlayErrors(t *testing.T) {
	dir := t.TempDir()
	for name, files := range map[string]map[string]string{
		"missing":   {"/a": filepath.Join(dir, "nothing")},
		"directory": {"/a": dir},
		"no name":   {"/..": filepath.Join(dir, "nothing")},
	} {
		if _, err := buildOverlay(files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if b, err := buildOverlay(nil); b != nil || err != nil {
		t.Errorf("no files: buildOverlay = %v, %v", b, err)
	}
}

// listing is the archive's content, one record a line.
func listing(t *testing.T, packed []byte) string {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(gz)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	err = cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(raw)), func(r cpio.Record) error {
		mode := os.FileMode(r.Mode & 0o777)
		if r.Mode&cpio.S_IFMT == cpio.S_IFDIR {
			mode |= os.ModeDir
		}
		line := fmt.Sprintf("%s %s", mode, r.Name)
		if r.FileSize > 0 {
			content := make([]byte, r.FileSize)
			if _, err := r.ReadAt(content, 0); err != nil && err != io.EOF {
				return err
			}
			line += " " + strings.TrimSpace(string(content))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}
