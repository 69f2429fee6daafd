package env

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Print writes the description as a YAML document that starts with "---", so
// that several can be concatenated. Parse of it gives the same description.
func (d *Description) Print() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("---\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("print environment %s: %w", d.Name, err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("print environment %s: %w", d.Name, err)
	}
	return out.Bytes(), nil
}
