package stats

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields are what can be shown of a row, in the order in which it is shown
// unless the user chooses.
var Fields = []string{
	"wid", "user", "hostname",
	"step1", "step2", "step3",
	"timeout_step1", "timeout_step2", "timeout_step3",
	"retry_step1", "retry_step2", "retry_step3",
	"start", "step1_duration", "step2_duration", "step3_duration",
	"env", "md5", "success", "error",
}

// KnownField tells whether a field can be shown. Some are shown only if asked for.
func KnownField(name string) bool {
	return slices.Contains(Fields, name) || name == "anonymous_env" || name == "cluster"
}

// NumericField tells whether a field is a whole number: seconds, or a count.
func NumericField(name string) bool {
	return name == "start" || strings.HasPrefix(name, "timeout_") || strings.HasPrefix(name, "retry_") || strings.HasSuffix(name, "_duration")
}

// LogLine is a row as the log file has it: the order is the original's.
func (r *Row) LogLine() []string {
	line := []string{r.Workflow, r.Node, r.User}
	for _, s := range r.Steps {
		line = append(line, s.Name)
	}
	for _, s := range r.Steps {
		line = append(line, Seconds(s.Timeout))
	}
	for _, s := range r.Steps {
		line = append(line, strconv.Itoa(s.Retries))
	}
	line = append(line, strconv.FormatInt(r.Start.Unix(), 10))
	for _, s := range r.Steps {
		line = append(line, Seconds(s.Duration))
	}
	const md5 = "" // the original has the column, and never filled it
	return append(line, r.Env, strconv.FormatBool(r.Anonymous), md5, strconv.FormatBool(r.Success), r.Error)
}

// Seconds is a duration in whole seconds.
func Seconds(d time.Duration) string {
	return strconv.FormatInt(int64(math.Round(d.Seconds())), 10)
}
