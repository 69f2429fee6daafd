package session

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// LoadKey returns the key in the file at path, which it makes if it is not
// there. The file belongs on a tmpfs: a worker that starts again finds the key
// that the coordinator knows, and the next boot makes a new one.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	seed, err := os.ReadFile(path)
	switch {
	case err == nil && len(seed) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(seed), nil
	case err == nil:
		return nil, fmt.Errorf("the agent's key %s has %d bytes, want %d: remove it and reboot", path, len(seed), ed25519.SeedSize)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the agent's key: %w", err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the agent's key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("keep the agent's key: %w", err)
	}
	// Written aside and renamed: a worker that dies here leaves no half of a key.
	temporary := path + ".new"
	if err := os.WriteFile(temporary, key.Seed(), 0o600); err != nil {
		return nil, fmt.Errorf("keep the agent's key: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return nil, fmt.Errorf("keep the agent's key: %w", err)
	}
	return key, nil
}
