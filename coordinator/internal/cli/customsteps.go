package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"kadeploy/coordinator/internal/client"
)

// readCustomSteps reads the file of --custom-steps: macro-steps, in them
// micro-steps, in them lists of operations. The server checks what they mean;
// here the files of this host that they name become absolute.
func readCustomSteps(file string) (steps map[string]any, uris []string, err error) {
	data, err := readFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("custom steps: %w", err)
	}
	if steps, uris, err = ParseCustomSteps(data); err != nil {
		return nil, nil, fmt.Errorf("custom steps %s: %w", file, err)
	}
	for _, uri := range uris {
		if path, ok := client.Local(uri); ok {
			f, err := os.Open(path)
			if err != nil {
				return nil, nil, fmt.Errorf("custom steps %s: %w", file, err)
			}
			f.Close()
		}
	}
	return steps, uris, nil
}

// ParseCustomSteps is the text of such a file as it is sent, and the URIs of its files.
func ParseCustomSteps(data []byte) (steps map[string]any, uris []string, err error) {
	if len(data) > maxDescription {
		return nil, nil, fmt.Errorf("it is longer than %d bytes", maxDescription)
	}
	if err := yaml.Unmarshal(data, &steps); err != nil {
		return nil, nil, err
	}
	if len(steps) == 0 {
		return nil, nil, errors.New("it names no macro-step")
	}
	for macro, micros := range steps {
		m, ok := micros.(map[string]any)
		if !ok {
			return nil, nil, fmt.Errorf("%s: must be a map of micro-steps", macro)
		}
		for micro, lists := range m {
			of, ok := lists.(map[string]any)
			if !ok {
				return nil, nil, fmt.Errorf("%s/%s: must be a map with substitute, pre-ops or post-ops", macro, micro)
			}
			more, err := operationFiles(of)
			if err != nil {
				return nil, nil, fmt.Errorf("%s/%s/%w", macro, micro, err)
			}
			uris = append(uris, more...)
		}
	}
	return steps, uris, nil
}

// operationFiles makes the files absolute that the operations of a micro-step name.
func operationFiles(lists map[string]any) (uris []string, err error) {
	for _, position := range []string{"substitute", "pre-ops", "post-ops"} {
		value := lists[position]
		if value == nil {
			continue
		}
		all, ok := value.([]any)
		if !ok {
			return nil, fmt.Errorf("%s: must be a list of operations", position)
		}
		for i, item := range all {
			op, ok := item.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s/%d: must be a map with action, name, ...", position, i)
			}
			file, ok := op["file"].(string)
			if !ok {
				continue // the server says whether it misses it
			}
			uri, err := client.Absolute(strings.TrimSpace(file))
			if err != nil {
				return nil, fmt.Errorf("%s/%d: %w", position, i, err)
			}
			op["file"] = uri
			uris = append(uris, uri)
		}
	}
	return uris, nil
}
