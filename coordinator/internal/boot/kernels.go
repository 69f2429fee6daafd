package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"kadeploy/coordinator/internal/profile"
)

// KernelsConfig is what Kernels are made from.
type KernelsConfig struct {
	Repository  string            // directory of mini-OS kernels and initrds
	URL         string            // where it is served by HTTP, up to the name of the file, final slash included; "": nowhere
	Overlay     map[string]string // as in Config
	Params      string            // as in Config
	Coordinator string
	Fingerprint string
	MAC         map[string]string // of nodes, where they are known: the interface that the mini-OS is to use
	Tokens      Tokens
}

// Kernels is the mini-OS for nodes that load it by themselves, out of a system that
// runs: the same files, and the same command line, as the boot script has.
type Kernels struct {
	cfg     KernelsConfig
	overlay []byte

	mu     sync.Mutex
	hashes map[string]hashed // by file
}

// hashed is the hash of a file as it was at a time.
type hashed struct {
	size int64
	at   time.Time
	sum  string
}

// File is one file that a node loads.
type File struct {
	Name   string // on the node
	URL    string // "": it is not served
	SHA256 string
	Size   int64
	Open   func() (io.ReadCloser, error)
}

// NewKernels reads the overlay; the repository is read when it is asked for.
func NewKernels(cfg KernelsConfig) (*Kernels, error) {
	overlay, err := buildOverlay(cfg.Overlay)
	if err != nil {
		return nil, err
	}
	return &Kernels{cfg: cfg, overlay: overlay, hashes: make(map[string]hashed)}, nil
}

// Files are the kernel, the initrd if there is one, and the overlay if there is one.
func (k *Kernels) Files(p profile.Profile) ([]File, error) {
	var files []File
	for _, one := range []struct{ name, file string }{{"vmlinuz", p.Kernel}, {"initrd", p.Initrd}} {
		if one.file == "" {
			continue
		}
		f, err := k.file(one.name, one.file)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if k.overlay != nil {
		sum := sha256.Sum256(k.overlay)
		files = append(files, File{
			Name: "overlay", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(k.overlay)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(k.overlay)), nil },
		})
	}
	return files, nil
}

func (k *Kernels) file(name, file string) (File, error) {
	if strings.Contains(file, "://") {
		return File{}, fmt.Errorf("%s of the mini-OS is at %s: only files of the repository can be loaded by kexec, as they are checked by their hash", name, file)
	}
	at := path.Join(k.cfg.Repository, path.Join("/", file))
	info, err := os.Stat(at)
	if err != nil {
		return File{}, fmt.Errorf("%s of the mini-OS: %w", name, err)
	}
	f := File{Name: name, Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(at) }}
	if k.cfg.URL != "" {
		f.URL = k.cfg.URL + strings.TrimPrefix(file, "/")
	}
	f.SHA256, err = k.hash(at, info)
	return f, err
}

// hash reads a file once for each of its versions. Whoever waits for it would read it too.
func (k *Kernels) hash(at string, info os.FileInfo) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h, known := k.hashes[at]; known && h.size == info.Size() && h.at.Equal(info.ModTime()) {
		return h.sum, nil
	}
	f, err := os.Open(at)
	if err != nil {
		return "", fmt.Errorf("hash the mini-OS: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", at, err)
	}
	h := hashed{info.Size(), info.ModTime(), hex.EncodeToString(sum.Sum(nil))}
	k.hashes[at] = h
	return h.sum, nil
}

// CommandLine is the kernel's, as in the boot script. It makes the node's one-time
// token, which ends what the node proved before.
func (k *Kernels) CommandLine(ctx context.Context, node string, p profile.Profile) (string, error) {
	token, err := k.cfg.Tokens.Mint(ctx, node)
	if err != nil {
		return "", err
	}
	words := append(strings.Fields(k.cfg.Params), strings.Fields(p.Params)...)
	if mac := k.cfg.MAC[node]; mac != "" {
		words = append(words, "BOOTIF=01-"+strings.ReplaceAll(mac, ":", "-"))
	}
	return strings.Join(append(words, agentWords(k.cfg.Coordinator, node, token, k.cfg.Fingerprint)...), " "), nil
}

// FilesURL is where a boot service at an address serves its repository.
func FilesURL(address string, port int) string {
	return fmt.Sprintf("http://%s:%d%s", address, port, pathFiles)
}
