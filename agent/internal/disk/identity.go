package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kadeploy/agent/internal/fault"
)

// Identity is what the site knows of a disk. Empty fields are not looked at.
type Identity struct {
	Path    string   // device, or a link to it; without one the disk is found by what follows
	Serials []string // it has one of them; * stands for any characters
	WWNs    []string // likewise
	Size    uint64   // bytes, as disks are sold: up to a fiftieth more or less
}

func (id Identity) String() string {
	var words []string
	if id.Path != "" {
		words = append(words, id.Path)
	}
	if len(id.Serials) > 0 {
		words = append(words, "serial number "+shorten(id.Serials))
	}
	if len(id.WWNs) > 0 {
		words = append(words, "WWN "+shorten(id.WWNs))
	}
	if id.Size > 0 {
		words = append(words, fmt.Sprintf("about %d bytes", id.Size))
	}
	return strings.Join(words, ", ")
}

// shorten keeps a message readable where a cluster has many disks of one id.
func shorten(names []string) string {
	const shown = 4
	if len(names) <= shown {
		return strings.Join(names, " or ")
	}
	return fmt.Sprintf("%s or one of %d others", strings.Join(names[:shown], " or "), len(names)-shown)
}

// identify finds the one disk that is meant, and refuses any other.
func (h *Host) identify(id Identity) (Disk, error) {
	if id.Path != "" {
		path, err := filepath.EvalSymlinks(id.Path)
		if errors.Is(err, os.ErrNotExist) {
			return Disk{}, h.mismatch(id, "there is no such device")
		}
		if err != nil {
			return Disk{}, err
		}
		dev, err := h.byNode(path)
		if err != nil {
			return Disk{}, err
		}
		if dev.Partition != nil {
			return Disk{}, fault.Invalidf("%s is a partition, where a disk is expected", dev.Path)
		}
		if why := id.differs(dev.Disk); why != "" {
			return Disk{}, h.mismatch(id, dev.Path+" has "+why)
		}
		return dev.Disk, nil
	}
	disks, err := h.Disks()
	if err != nil {
		return Disk{}, err
	}
	var found []Disk
	for _, d := range disks {
		if id.differs(d) == "" {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return Disk{}, h.mismatch(id, "no disk is like that")
	case 1:
		return found[0], nil
	}
	return Disk{}, h.mismatch(id, fmt.Sprintf("%d disks are like that", len(found)))
}

// differs says in what a disk is not the one that is meant; empty: in nothing.
func (id Identity) differs(d Disk) string {
	switch {
	case len(id.Serials) > 0 && !anyMatches(id.Serials, d.Serial):
		return fmt.Sprintf("the serial number %q", d.Serial)
	case len(id.WWNs) > 0 && !anyMatches(id.WWNs, d.WWN):
		return fmt.Sprintf("the WWN %q", d.WWN)
	case id.Size > 0 && (d.Size < id.Size-id.Size/50 || d.Size > id.Size+id.Size/50):
		return fmt.Sprintf("%d bytes", d.Size)
	}
	return ""
}

// mismatch is a refusal that tells what was expected and what is there.
func (h *Host) mismatch(id Identity, what string) error {
	disks, _ := h.Disks() // only to help the reader
	return fault.Preconditionf("%s: expected %s; the node has %s: correct partitioning.disk_path in the cluster's configuration, or the machine",
		what, id, describe(disks))
}

func anyMatches(patterns []string, text string) bool {
	for _, p := range patterns {
		if matches(p, text) {
			return true
		}
	}
	return false
}

// matches compares a text, in which case and white space around do not count,
// with a pattern, in which * stands for any characters.
func matches(pattern, text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	parts := strings.Split(strings.ToLower(strings.TrimSpace(pattern)), "*")
	last := len(parts) - 1
	if last == 0 {
		return text == parts[0]
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1:last] {
		if _, text, ok = strings.Cut(text, p); !ok {
			return false
		}
	}
	return strings.HasSuffix(text, parts[last])
}
