package identity

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadMakesOneIdentityForEver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identity.pem")
	first, err := Load(file, "kadeploy.site")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Load(file, "another.name")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Certificate[0], second.Certificate[0]) {
		t.Error("the certificate changed from one start to the next")
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600: it holds the private key", info.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".identity-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestLoadRefusesWhatIsNotACertificate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identity.pem")
	if err := os.WriteFile(file, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, "h"); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("Load = %v, want an error with a remedy", err)
	}
	if _, err := Load(filepath.Join(file, "below-a-file"), "h"); err == nil {
		t.Error("Load made a file below a file")
	}
}
