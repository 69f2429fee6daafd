package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// operation are the options of all commands that start a workflow.
type operation struct {
	generic
	machines
	words words

	debug       bool
	okFile      string
	koFile      string
	script      string
	verbosity   int
	widFile     string
	wait        bool
	force       bool
	breakpoint  string
	customSteps string
	variables   []string
	hook        bool
	secure      bool
	failIfAny   bool
	spans       bool
}

func (o *operation) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	o.machines.define(cmd)
	fs.StringVarP(&o.okFile, "output-ok-nodes", "o", "", "write the nodes that succeeded to `FILE`")
	fs.StringVarP(&o.koFile, "output-ko-nodes", "n", "", "write the nodes that failed to `FILE`")
	fs.StringVarP(&o.script, "script", "s", "", "run `FILE` at the end")
	fs.IntVarP(&o.verbosity, "verbose-level", "V", -1, "how much is told, `0-5` (the server's configuration)")
	fs.Lookup("verbose-level").DefValue = "0" // none is shown
	fs.BoolVarP(&o.debug, "debug-mode", "d", false, "show what commands print on the nodes (on file descriptor 3 if it is open)")
	fs.StringVar(&o.widFile, "write-workflow-id", "", "write the ID of the operation to `FILE`")
	fs.BoolVar(&o.wait, "wait", true, "do not wait for the end: print the ID and the path of the operation")
	fs.BoolVar(&o.force, "force", false, "do not care whether the nodes are involved in another operation")
	fs.StringVar(&o.breakpoint, "breakpoint", "", "stop the nodes before a step: `MACRO[:MICRO]`")
	fs.StringVar(&o.customSteps, "custom-steps", "", "add the operations to the steps, or put them in their place, that `FILE` (YAML) says")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "set-custom-operations" { // its older name
			name = "custom-steps"
		}
		return pflag.NormalizedName(name)
	})
	fs.StringArrayVar(&o.variables, "custom-variable", nil, "a variable for scripts on the nodes, `KEY=VALUE`; may be repeated")
	fs.BoolVar(&o.hook, "hook", false, "run the server's hook at the end")
	fs.BoolVar(&o.secure, "secure", false, "let the server fetch files of this host over HTTPS")
	fs.BoolVar(&o.failIfAny, "fail-if-any", false, "exit with 50 if any node failed")
	fs.BoolVar(&o.spans, "timeline", false, "print at the end how long each node was in each step")
	o.generic.define(cmd)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return errors.Join(hint(cmd, err), o.truncate())
	})
}

// anyFailed is the exit status of --fail-if-any, above all application errors.
const anyFailed = 50

// begin does what comes right after the options were read: the files of the
// results exist from then on, whatever happens.
func (o *operation) begin() error {
	if o.okFile != "" && o.okFile == o.koFile {
		return errors.New("-o and -n must name different files")
	}
	if err := o.truncate(); err != nil {
		return err
	}
	if o.several && o.widFile != "" { // each server adds a line
		if err := os.WriteFile(o.widFile, nil, 0o644); err != nil {
			return fmt.Errorf("ID of the operation: %w", err)
		}
	}
	if !o.wait && (o.okFile != "" || o.koFile != "") {
		return errors.New("-o and -n need the end of the operation: leave --no-wait out")
	}
	if !o.wait && o.failIfAny {
		return errors.New("--fail-if-any needs the end of the operation: leave --no-wait out")
	}
	if o.verbosity != -1 && (o.verbosity < 0 || o.verbosity > 5) {
		return fmt.Errorf("-V %d: a verbosity is 0 to 5", o.verbosity)
	}
	if o.script != "" {
		st, err := os.Stat(o.script)
		if err != nil {
			return fmt.Errorf("script: %w", err)
		}
		if st.Mode()&0o111 == 0 || st.IsDir() {
			return fmt.Errorf("script %s: it is not executable", o.script)
		}
	}
	return nil
}

// truncate empties the files of the results.
func (o *operation) truncate() error {
	for _, file := range []string{o.okFile, o.koFile} {
		if file == "" {
			continue
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return fmt.Errorf("list of results: %w", err)
		}
	}
	return nil
}

// order is what is asked of each server, but for the nodes.
type order struct {
	body map[string]any
	uris []string // files that the server will fetch
}

// request is what all orders have in common.
func (o *operation) request() (*order, error) {
	r := &order{body: make(map[string]any)}
	for key, on := range map[string]bool{"debug": o.debug, "force": o.force, "hook": o.hook, "dry_run": o.dryRun} {
		if on {
			r.body[key] = true
		}
	}
	if o.verbosity >= 0 {
		r.body["verbose_level"] = o.verbosity
	}
	if o.breakpoint != "" {
		r.body["breakpoint"] = strings.ReplaceAll(o.breakpoint, " ", "")
	}
	if o.customSteps != "" {
		steps, uris, err := readCustomSteps(o.customSteps)
		if err != nil {
			return nil, err
		}
		r.body["custom_operations"] = steps
		r.uris = append(r.uris, uris...)
	}
	if len(o.variables) > 0 {
		vars, err := ParseVariables(o.variables)
		if err != nil {
			return nil, err
		}
		r.body["custom_variables"] = vars
	}
	return r, nil
}

// of is the order for some nodes of one server.
func (r *order) of(nodes []string) *order {
	c := &order{maps.Clone(r.body), append([]string(nil), r.uris...)}
	c.body["nodes"] = nodes
	return c
}
