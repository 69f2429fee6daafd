package stats

import (
	"strconv"
	"strings"
)

// Rate is a share, from 0 to 1, with three decimals. It is written as a number that
// has a point even if it is whole, as the original's clients show it as it comes.
type Rate float64

// String is 0.0, 0.125 or 1.0.
func (r Rate) String() string {
	text := strconv.FormatFloat(float64(r), 'f', 3, 64)
	text = strings.TrimRight(text, "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return text
}

// MarshalJSON writes the rate as a number.
func (r Rate) MarshalJSON() ([]byte, error) { return []byte(r.String()), nil }

// FailureRate is how often operations on one node failed.
type FailureRate struct {
	Node string
	Rate Rate // 1 - successes/all
	All  int
}
