package cli

import (
	"fmt"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/env"
)

// Instance is one way to do a macro-step, as --force-steps and the REST API have it.
type Instance struct {
	Name    string `json:"name"`
	Retries int    `json:"retries"`
	Timeout int    `json:"timeout"` // seconds
}

// macroSteps are what --force-steps must give, in this order; a newer name of the first.
var macroSteps = [...]string{"SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"}

const newerFirst = "SetDeploymentMiniOS"

// ParseSteps reads the argument of --force-steps (contract 4.5).
func ParseSteps(text string) (map[string][]Instance, error) {
	bad := func(format string, args ...any) (map[string][]Instance, error) {
		return nil, mistakef("--force-steps: %s\nThe form is SetDeploymentEnv|NAME:RETRIES:TIMEOUT,...&BroadcastEnv|...&BootNewEnv|...", fmt.Sprintf(format, args...))
	}
	parts := strings.Split(strings.TrimSpace(text), "&")
	if len(parts) != len(macroSteps) {
		return bad("%d macro-steps are given, %d are needed", len(parts), len(macroSteps))
	}
	out := make(map[string][]Instance, len(macroSteps))
	for i, part := range parts {
		macro, list, ok := strings.Cut(part, "|")
		if macro == newerFirst {
			macro = macroSteps[0]
		}
		if !ok || macro != macroSteps[i] {
			return bad("%q is not %s|...", part, macroSteps[i])
		}
		for item := range strings.SplitSeq(list, ",") {
			inst, err := parseInstance(item)
			if err != nil {
				return bad("%v", err)
			}
			canonical := strings.Replace(inst.Name, newerFirst, macroSteps[0], 1)
			if !strings.HasPrefix(canonical, macro) {
				return bad("%q is no instance of %s", inst.Name, macro)
			}
			out[macro] = append(out[macro], inst)
		}
	}
	return out, nil
}

func parseInstance(item string) (Instance, error) {
	fields := strings.Split(item, ":")
	if len(fields) != 3 {
		return Instance{}, fmt.Errorf("%q has not the form NAME:RETRIES:TIMEOUT", item)
	}
	inst := Instance{Name: fields[0]}
	for i, p := range []*int{&inst.Retries, &inst.Timeout} {
		n, err := strconv.ParseUint(fields[i+1], 10, 31)
		if err != nil {
			return Instance{}, fmt.Errorf("%q in %q is no number", fields[i+1], item)
		}
		*p = int(n)
	}
	return inst, nil
}

// ParseVariables reads the arguments of --custom-variable. The last one of a key counts.
func ParseVariables(args []string) (map[string]string, error) {
	vars := make(map[string]string, len(args))
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, fmt.Errorf("--custom-variable %q: the form is KEY=VALUE", arg)
		}
		if err := env.CheckVariable(key, value); err != nil {
			return nil, fmt.Errorf("--custom-variable: %w", err)
		}
		vars[key] = value
	}
	return vars, nil
}
