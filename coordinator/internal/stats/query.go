package stats

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Query selects rows. What is zero does not restrict.
type Query struct {
	Operation  string // one of Operations
	Nodes      []string
	Workflow   string
	From, To   time.Time // start of the operation, both included
	MinRetries int       // in one of RetrySteps at least
	RetrySteps []int     // 1 to 3; all if there are none

	Fields []string // shown; Fields if there are none
	Sort   []string // fields, a leading "-" reverses; by start if there are none
	Limit  int      // rows; 0: all
}

// QueryError is a parameter of a query that cannot be.
type QueryError struct{ Parameter, Reason string }

func (e *QueryError) Error() string { return fmt.Sprintf("Parameter '%s': %s", e.Parameter, e.Reason) }

// Complete checks a query and fills in what is not given. The error is a *QueryError.
func (q *Query) Complete() error {
	if q.Operation != "" && Letter(q.Operation) == "" {
		return &QueryError{"operation", fmt.Sprintf("%q is not one of %s", q.Operation, strings.Join(Operations, ", "))}
	}
	if len(q.Fields) == 0 {
		q.Fields = Fields
	}
	if len(q.Sort) == 0 {
		q.Sort = []string{"start"}
	}
	if err := known("fields", q.Fields); err != nil {
		return err
	}
	var sorted []string
	for _, s := range q.Sort {
		sorted = append(sorted, strings.TrimPrefix(s, "-"))
	}
	if err := known("sort", sorted); err != nil {
		return err
	}
	if len(q.RetrySteps) == 0 {
		q.RetrySteps = []int{1, 2, 3}
	}
	for _, s := range q.RetrySteps {
		if s < 1 || s > 3 {
			return &QueryError{"step_retries", fmt.Sprintf("%d is no step; steps are 1, 2 and 3", s)}
		}
	}
	switch {
	case q.MinRetries < 0:
		return &QueryError{"min_retries", "must not be negative"}
	case q.Limit < 0:
		return &QueryError{"limit", "must not be negative"}
	case !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From):
		return &QueryError{"date_max", "is before date_min: nothing can be between them"}
	}
	return nil
}

// known checks the names of fields. A few times all of them is more than anybody shows.
func known(parameter string, names []string) error {
	for _, name := range names {
		if !KnownField(name) {
			return &QueryError{parameter, fmt.Sprintf("there is no field %q; there are %s, anonymous_env, cluster", name, strings.Join(Fields, ", "))}
		}
	}
	if len(names) > 4*len(Fields) {
		return &QueryError{parameter, fmt.Sprintf("%d fields are too many", len(names))}
	}
	return nil
}

// SplitList takes apart lists whose members are separated by commas.
func SplitList(lists []string) []string {
	var all []string
	for _, list := range lists {
		for part := range strings.SplitSeq(list, ",") {
			if part = strings.TrimSpace(part); part != "" && !slices.Contains(all, part) {
				all = append(all, part)
			}
		}
	}
	return all
}
