package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Goal is a bound on one figure.
type Goal struct {
	What   string
	Bound  float64
	Least  bool   // the bound is the least that is good; else the most
	Format string // of figure and bound
	of     func(*Figures) float64
}

// Met tells whether a figure is on the right side of the bound.
func (g Goal) Met(f *Figures) bool {
	if g.Least {
		return g.of(f) >= g.Bound
	}
	return g.of(f) <= g.Bound
}

func (g Goal) bound() string {
	sign := "≤ "
	if g.Least {
		sign = "≥ "
	}
	return sign + fmt.Sprintf(g.Format, g.Bound)
}

// GoalFigures are what JSON says of a row: its figures, and its goals.
type GoalFigures struct {
	*Figures
	Goals []GoalFigure `json:"goals"`
}

// GoalFigure is a goal beside the figure.
type GoalFigure struct {
	What   string  `json:"what"`
	Figure float64 `json:"figure"`
	Bound  float64 `json:"bound"`
	Least  bool    `json:"bound_is_least"`
	Met    bool    `json:"met"`
}

// With puts the row's goals beside its figures.
func (r Row) With(f *Figures) GoalFigures {
	g := GoalFigures{Figures: f, Goals: []GoalFigure{}}
	for _, goal := range r.Goals {
		g.Goals = append(g.Goals, GoalFigure{goal.What, goal.of(f), goal.Bound, goal.Least, goal.Met(f)})
	}
	return g
}

// GoalTable prints goals beside figures, for people.
func GoalTable(w io.Writer, rows []Row, all []*Figures) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\tfigure\tgoal\tmeasured\t")
	for i, f := range all {
		for _, g := range rows[i].Goals {
			mark := "reached"
			if !g.Met(f) {
				mark = "MISSED"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t"+g.Format+"\t%s\n", f.Case, g.What, g.bound(), g.of(f), mark)
		}
	}
	return t.Flush()
}
