package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/nodeset"
)

// machines are the options that choose nodes.
type machines struct {
	app   *App
	names []string
	files []string
}

func (m *machines) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVarP(&m.names, "machine", "m", nil, "a `NODE` or a set of them, as node-[1-3,7]; may be repeated")
	fs.StringArrayVarP(&m.files, "file", "f", nil, "read nodes from a `FILE`, one a line (-: standard input); may be repeated")
}

// given is what the options choose; nothing if none was given.
func (m *machines) given() ([]string, error) {
	var all []string
	for _, expr := range m.names {
		names, err := nodeset.Expand(expr)
		if err != nil {
			return nil, &exitError{1, err}
		}
		all = append(all, names...)
	}
	for _, file := range m.files {
		names, err := m.read(file)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
	}
	return unique(all), nil
}

// chosen is given, or else the nodes of the batch scheduler's job.
func (m *machines) chosen() ([]string, error) {
	all, err := m.given()
	if err != nil || len(all) > 0 {
		return all, err
	}
	if len(m.files) == 0 {
		for _, variable := range []string{"OAR_FILE_NODES", "OAR_NODE_FILE", "OAR_NODEFILE"} {
			if file := m.app.Getenv(variable); file != "" {
				all, err := m.read(file)
				if err != nil {
					return nil, fmt.Errorf("$%s: %w", variable, err)
				}
				return all, nil
			}
		}
		if set := m.app.Getenv("SLURM_JOB_NODELIST"); set != "" {
			all, err := nodeset.Expand(set)
			if err != nil {
				return nil, &exitError{1, fmt.Errorf("$SLURM_JOB_NODELIST: %w", err)}
			}
			return unique(all), nil
		}
	}
	return nil, mistake("No node is chosen; choose some with -m or -f")
}

func (m *machines) read(file string) ([]string, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(m.app.Stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of nodes: %w", err)
	}
	names, err := nodeset.ParseFile(string(data))
	if err != nil {
		return nil, &exitError{1, fmt.Errorf("list of nodes %s: %w", file, err)}
	}
	return names, nil
}

// unique drops names that were there before, and keeps the order.
func unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
