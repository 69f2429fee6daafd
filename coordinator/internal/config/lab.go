package config

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed lab/*.conf
var labFiles embed.FS

// Lab says where the built-in lab keeps its things. All is needed.
type Lab struct {
	State  string // directory of the database and the cache; absolute
	Socket string // Unix socket for local clients; absolute
	Admins string // names of administrators, separated by commas
}

// Missing tells whether a directory has none of the files that a configuration begins with.
func Missing(dir string) bool {
	for _, name := range []string{serverFiles[0], serverFiles[1], clustersFiles[0], clustersFiles[1]} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// WriteLab writes the configuration of the built-in lab into dir, over an older
// one: three nodes that exist only on paper, whose deployments are rehearsed.
func WriteLab(dir string, l Lab) error {
	for _, path := range []string{l.State, l.Socket} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\n'\"\\{}[],#:") {
			return fmt.Errorf("write the lab's configuration: path %q must be absolute and without quotes, brackets, colons and the like", path)
		}
	}
	templates, err := template.ParseFS(labFiles, "lab/*.conf")
	if err != nil {
		return fmt.Errorf("write the lab's configuration: %w", err)
	}
	for _, d := range []string{dir, l.State, filepath.Join(l.State, "cache")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("write the lab's configuration: %w", err)
		}
	}
	for _, t := range templates.Templates() {
		var text strings.Builder
		if err := t.Execute(&text, l); err != nil {
			return fmt.Errorf("write %s: %w", t.Name(), err)
		}
		if err := os.WriteFile(filepath.Join(dir, t.Name()), []byte(text.String()), 0o644); err != nil {
			return fmt.Errorf("write the lab's configuration: %w", err)
		}
	}
	return nil
}
