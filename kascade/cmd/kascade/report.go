package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// writeReports writes the lists of contract 8.2 where they are wanted.
func writeReports(ok, ko string, names []string, outcome map[string]error) error {
	good, bad := []string{}, map[string]string{}
	for _, n := range names {
		if err := outcome[n]; err != nil {
			bad[n] = err.Error()
		} else {
			good = append(good, n)
		}
	}
	if err := writeYAML(ok, good); err != nil {
		return fmt.Errorf("--ok: %w", err)
	}
	if err := writeYAML(ko, bad); err != nil {
		return fmt.Errorf("--ko: %w", err)
	}
	return nil
}

// writeYAML replaces a file at once, so that nobody reads half of it.
func writeYAML(path string, v any) error {
	if path == "" {
		return nil
	}
	b, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, b, 0o644)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kascade-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
