package debian

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Package is one version of a package, as the archive has it.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	File    string `json:"file"` // name of the .deb file
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
}

// parseURIs reads the output of "apt-get install --print-uris": a quoted address, a file name, a size, a digest.
func parseURIs(out []byte) ([]Package, error) {
	var packages []Package
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, "'") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return nil, fmt.Errorf("apt-get --print-uris: line %q has %d fields, want 4", line, len(fields))
		}
		p, err := parseFile(fields[1])
		if err != nil {
			return nil, err
		}
		if p.Size, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
			return nil, fmt.Errorf("apt-get --print-uris: size of %s: %w", p.Name, err)
		}
		var ok bool
		if p.SHA256, ok = strings.CutPrefix(fields[3], "SHA256:"); !ok {
			return nil, fmt.Errorf("apt-get --print-uris: %s has the digest %q, want SHA256", p.Name, fields[3])
		}
		packages = append(packages, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("apt-get --print-uris: %w", err)
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("apt-get --print-uris named no package")
	}
	slices.SortFunc(packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	return packages, nil
}

// parseFile splits NAME_VERSION_ARCHITECTURE.deb, where the version is percent-encoded.
func parseFile(file string) (Package, error) {
	parts := strings.Split(strings.TrimSuffix(file, ".deb"), "_")
	if len(parts) != 3 || strings.ContainsAny(file, "/\x00") {
		return Package{}, fmt.Errorf("package file %q is not NAME_VERSION_ARCHITECTURE.deb", file)
	}
	version, err := url.PathUnescape(parts[1])
	if err != nil {
		return Package{}, fmt.Errorf("package file %q: version: %w", file, err)
	}
	return Package{Name: parts[0], Version: version, File: file}, nil
}

func (p Package) verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("package %s: %w", p.Name, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("package %s: read %s: %w", p.Name, path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("package %s: %s has the digest %s, want %s: remove it and build again", p.Name, path, got, p.SHA256)
	}
	return nil
}
