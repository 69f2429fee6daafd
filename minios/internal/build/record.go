package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kadeploy/minios/internal/debian"
	"kadeploy/minios/internal/manifest"
)

// Record is what manifest.json says about an image. It names no machine and no time.
type Record struct {
	Key      string           `json:"key"` // digest of all inputs
	Name     string           `json:"name"`
	Release  string           `json:"kernel_release"`
	Files    []Output         `json:"files"`
	Packages []debian.Package `json:"packages"`
}

// Output is one file that was made.
type Output struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// inputKey is the digest of everything that the image's bytes depend on: manifest, packages, agent, and the builder itself.
func inputKey(m *manifest.Manifest, packages []debian.Package, agent string) (string, error) {
	agentDigest, _, err := fileDigest(agent)
	if err != nil {
		return "", fmt.Errorf("agent binary: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	builder, _, err := fileDigest(self)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(struct {
		Manifest *manifest.Manifest
		Packages []debian.Package
		Agent    string
		Builder  string
	}{m, packages, agentDigest, builder})
	if err != nil {
		return "", err
	}
	return digest(text), nil
}

// upToDate returns the record of the image in dir if it was made of the inputs of key and its files are still what they were.
func upToDate(dir, key string) *Record {
	text, err := os.ReadFile(filepath.Join(dir, RecordFile))
	if err != nil {
		return nil
	}
	r := &Record{}
	if json.Unmarshal(text, r) != nil || r.Key != key || len(r.Files) < 2 {
		return nil
	}
	for _, f := range r.Files {
		if sum, _, err := fileDigest(filepath.Join(dir, filepath.Base(f.Name))); err != nil || sum != f.SHA256 {
			return nil
		}
	}
	return r
}

// write makes the output files; an empty one is not made. The record comes last: it vouches for the others.
func (b *builder) write(dir string, r *Record, local []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	vmlinuz, err := os.ReadFile(b.kernel.Image)
	if err != nil {
		return err
	}
	b.logger.Info("compressing the initrd")
	var initrd bytes.Buffer
	if err := b.tree.Write(&initrd, b.manifest.Epoch); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{KernelFile, vmlinuz}, {InitrdFile, initrd.Bytes()}, {LocalFile, local}} {
		if len(f.data) == 0 {
			continue
		}
		if err := replaceFile(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
		r.Files = append(r.Files, Output{Name: f.name, Size: int64(len(f.data)), SHA256: digest(f.data)})
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, RecordFile), append(text, '\n'))
}

// replaceFile writes to a temporary name and renames: a reader sees the old file or the new one, whole.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, rightly, once renamed
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func fileDigest(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", 0, fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}
