package customops

import "strings"

// Expand replaces $KADEPLOY_X and ${KADEPLOY_X} in a text by the variables. Of
// several names that fit, the longest counts; what is no variable stays as it is.
func Expand(text string, variables map[string]string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, rest := reference(after, variables)
		if name == "" {
			out.WriteByte('$')
			text = after
			continue
		}
		out.WriteString(variables[name])
		text = rest
	}
}

// reference finds the variable that a text after a dollar sign begins with.
func reference(text string, variables map[string]string) (name, rest string) {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		name, rest, closed := strings.Cut(inner, "}")
		if _, known := variables[name]; known && closed {
			return name, rest
		}
		return "", text
	}
	for candidate := range variables {
		if len(candidate) > len(name) && strings.HasPrefix(text, candidate) {
			name = candidate
		}
	}
	return name, text[len(name):]
}
