package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/nodeset"
)

// profile are the options for a boot profile of the user's own.
type profile struct {
	file     string
	patterns string
	uploads  string
}

func (p *profile) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&p.file, "set-pxe-profile", "w", "", "boot with the profile in `FILE`")
	fs.StringVar(&p.patterns, "set-pxe-pattern", "", "what NODE_SINGULARITY in the profile stands for: a `FILE` with lines of NODE,TEXT")
	fs.StringVarP(&p.uploads, "upload-pxe-files", "x", "", "`FILES`, with commas between, that the profile has as FILES_PREFIX--NAME")
}

// fill adds the profile to an order.
func (p *profile) fill(r *order) error {
	if p.file == "" {
		if p.patterns != "" || p.uploads != "" {
			return errors.New("--set-pxe-pattern and -x go with a boot profile: give one with -w")
		}
		return nil
	}
	data, err := os.ReadFile(p.file)
	if err != nil {
		return fmt.Errorf("boot profile: %w", err)
	}
	pxe := map[string]any{"profile": string(data)}
	if p.patterns != "" {
		text, err := os.ReadFile(p.patterns)
		if err != nil {
			return fmt.Errorf("patterns of the boot profile: %w", err)
		}
		if pxe["singularities"], err = ParsePatterns(string(text)); err != nil {
			return fmt.Errorf("patterns of the boot profile: %s: %w", p.patterns, err)
		}
	}
	var uploads []string
	for file := range strings.SplitSeq(p.uploads, ",") {
		if file = strings.TrimSpace(file); file == "" {
			continue
		}
		uri, err := client.Absolute(file)
		if err != nil {
			return err
		}
		uploads = append(uploads, uri)
	}
	if len(uploads) > 0 {
		pxe["files"] = uploads
		r.uris = append(r.uris, uploads...)
	}
	r.body["pxe"] = pxe
	return nil
}

// ParsePatterns reads lines of NODES,TEXT. The nodes may be a set.
func ParsePatterns(text string) (map[string]string, error) {
	patterns := make(map[string]string)
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		nodes, value, ok := cutOutside(line)
		if !ok {
			return nil, fmt.Errorf("line %d: %q has not the form NODE,TEXT", number, line)
		}
		names, err := nodeset.Expand(nodes)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, name := range names {
			patterns[name] = value
		}
	}
	return patterns, nil
}

// cutOutside cuts at the first comma that is not between brackets.
func cutOutside(line string) (before, after string, ok bool) {
	depth := 0
	for i, c := range line {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ',' && depth <= 0:
			return strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:]), i > 0
		}
	}
	return "", "", false
}
