package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// info is the answer of GET /info.
type info struct {
	PXE      string                               `json:"pxe"`
	Automata map[string]map[string][]infoInstance `json:"automata"`
	Systems  map[string][]string                  `json:"supported_fs"`
	Vars     []string                             `json:"vars"`
}

type infoInstance struct {
	Name    string `json:"name"`
	Retries int    `json:"retries"`
	Timeout int    `json:"timeout"`
}

// printServerInfo prints the block of contract 1.9.
func printServerInfo(ctx context.Context, s *session, inJSON bool) error {
	var i info
	if err := s.Get(ctx, "/info", nil, &i); err != nil {
		return fmt.Errorf("ask the server how it is configured: %w", err)
	}
	if inJSON {
		return json.NewEncoder(s.app.Stdout).Encode(i)
	}
	_, err := io.WriteString(s.app.Stdout, i.text())
	return err
}

func (i *info) text() string {
	var b strings.Builder
	b.WriteString("Kadeploy server configuration:\n")
	fmt.Fprintf(&b, "  Custom PXE boot method: %s\n", i.PXE)
	b.WriteString("  Automata configuration:\n")
	for _, cluster := range sortedKeys(i.Automata) {
		fmt.Fprintf(&b, "    %s:\n", cluster)
		for _, macro := range []string{"SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"} {
			var all []string
			for _, inst := range i.Automata[cluster][macro] {
				all = append(all, fmt.Sprintf("%s,%d,%d", inst.Name, inst.Retries, inst.Timeout))
			}
			fmt.Fprintf(&b, "      %s: %s\n", macro, strings.Join(all, "; "))
		}
	}
	b.WriteString("  Deployment environment:\n    Supported file systems:\n")
	for _, cluster := range sortedKeys(i.Systems) {
		fmt.Fprintf(&b, "      %s: %s\n", cluster, strings.Join(i.Systems[cluster], ","))
	}
	b.WriteString("    Variables exported to custom scripts:\n")
	b.WriteString(wrap(i.Vars, 74, "      "))
	return b.String()
}

// wrap lists words with commas in lines of at most width characters.
func wrap(words []string, width int, indent string) string {
	var b strings.Builder
	line := ""
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		if line != "" && len(line)+1+len(w) > width {
			b.WriteString(indent + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	if line != "" {
		b.WriteString(indent + line + "\n")
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
