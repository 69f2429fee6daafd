package client

import (
	"slices"
	"testing"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// TestTextOnce: a server was restarted between two questions, noticed or not, and tells
// all again; then something new.
func TestTextOnce(t *testing.T) {
	at := func(second int64, text string) workflow.Line {
		return workflow.Line{Time: time.Unix(second, 0), Text: text}
	}
	first := []workflow.Line{at(1, "a"), at(1, "---"), at(1, "---"), at(2, "b"), {Text: "no time"}}
	second := []workflow.Line{at(1, "a"), at(1, "---"), at(1, "---"), at(2, "b"), at(2, "told late"), at(3, "c")}
	third := []workflow.Line{at(3, "d"), at(4, "e"), at(4, "e")}
	for name, c := range map[string]struct {
		again   bool
		answers [][]workflow.Line
		want    []string
	}{
		"never away":   {false, [][]workflow.Line{first, third, {{Text: "no time"}}}, []string{"a", "---", "---", "b", "no time", "d", "e", "e", "no time"}},
		"noticed":      {true, [][]workflow.Line{first, second, {at(4, "d")}}, []string{"a", "---", "---", "b", "no time", "c", "d"}},
		"not noticed":  {false, [][]workflow.Line{first, second, {at(4, "d")}}, []string{"a", "---", "---", "b", "no time", "c", "d"}},
		"two clusters": {false, [][]workflow.Line{{at(2, "b")}, {at(1, "late")}}, []string{"b", "late"}},
	} {
		var got []string
		text := &textOnce{show: func(l workflow.Line) { got = append(got, l.Text) }}
		for i, all := range c.answers {
			text.again = text.again || c.again && i == 1
			text.lines(all)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
