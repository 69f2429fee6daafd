package stats

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Period selects what a summary is about.
type Period struct {
	From, To  time.Time // start of the operations, both included
	Operation string    // one of Operations
	Cluster   string    // "": all
	Env       string    // name, or name:version; "": all
}

// Matches tells whether an environment, as name:version, is wanted.
func (p *Period) Matches(env string) bool {
	return p.Env == "" || env == p.Env || strings.HasPrefix(env, p.Env+":")
}

// Summary is how operations went over a period. Times are seconds.
type Summary struct {
	From         time.Time     `json:"since"`
	To           time.Time     `json:"until"`
	Operation    string        `json:"operation"`
	Workflows    int           `json:"workflows"`
	All          Group         `json:"all"`
	Clusters     []Group       `json:"clusters"`
	Environments []Group       `json:"environments"`
	Steps        []StepSummary `json:"steps"`
}

// Group is how the nodes of one cluster, or with one environment, did: the
// share that succeeded, and how long these took, all macro-steps together.
type Group struct {
	Name    string `json:"name"`
	Nodes   int    `json:"nodes"` // one that was operated on twice counts twice
	Success Rate   `json:"success"`
	Spread
}

// StepSummary is the same of one instance of a macro-step, with its micro-steps.
type StepSummary struct {
	Group
	Macro  int     `json:"macro"` // 1 to 3
	Micros []Group `json:"micros"`
}

// Spread is the middle, the ninth tenth and the greatest of some times, in seconds.
type Spread struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	Max float64 `json:"max"`
}

// SpreadOf sorts the times. All is 0 where there are none.
func SpreadOf(seconds []float64) Spread {
	if len(seconds) == 0 {
		return Spread{}
	}
	slices.Sort(seconds)
	return Spread{millis(quantile(seconds, 0.5)), millis(quantile(seconds, 0.9)), millis(seconds[len(seconds)-1])}
}

// millis leaves out what is below a millisecond, which no step is measured by.
func millis(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// Median of some times; ok is false if there are none.
func Median(seconds []float64) (median float64, ok bool) {
	if len(seconds) == 0 {
		return 0, false
	}
	slices.Sort(seconds)
	return quantile(seconds, 0.5), true
}

// quantile is the least of the sorted values that a share q of them does not exceed.
func quantile(sorted []float64, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// Digest reckons a summary from rows as they come.
type Digest struct {
	workflows    map[string]bool
	last         string // workflow that was added
	all          tally
	clusters     map[string]*tally
	environments map[string]*tally
	steps        map[stepKey]*tally
	micros       map[stepKey]map[string]*tally
	place        map[stepKey]map[string]int // the earliest at which operations came to micro-steps
}

type stepKey struct {
	macro    int // from 1
	instance string
}

type tally struct {
	nodes, good int
	seconds     []float64 // of the good ones
}

func (t *tally) add(good bool, seconds float64) {
	t.nodes++
	if good {
		t.good++
		t.seconds = append(t.seconds, seconds)
	}
}

// NewDigest has seen nothing.
func NewDigest() *Digest {
	return &Digest{
		workflows: make(map[string]bool), clusters: make(map[string]*tally), environments: make(map[string]*tally),
		steps: make(map[stepKey]*tally), micros: make(map[stepKey]map[string]*tally), place: make(map[stepKey]map[string]int),
	}
}

func of[K comparable](m map[K]*tally, key K) *tally {
	t := m[key]
	if t == nil {
		t = &tally{}
		m[key] = t
	}
	return t
}

// Row adds one row.
func (d *Digest) Row(r *Row) {
	if r.Workflow != d.last { // the nodes of an operation mostly come together
		d.workflows[r.Workflow] = true
		d.last = r.Workflow
	}
	total := 0.0
	last := 0
	for i, s := range r.Steps {
		total += s.Duration.Seconds()
		if s.Name != "" {
			last = i
		}
	}
	d.all.add(r.Success, total)
	of(d.clusters, r.Cluster).add(r.Success, total)
	if r.Env != "" {
		of(d.environments, r.Env).add(r.Success, total)
	}
	for i, s := range r.Steps {
		if s.Name != "" {
			of(d.steps, stepKey{i + 1, s.Name}).add(r.Success || i < last, s.Duration.Seconds())
		}
	}
}

// Micro adds what is kept of one micro-step, which was the operation's at this
// position. The times are not kept.
func (d *Digest) Micro(m *Micro, position int) {
	key := stepKey{macroNumber(m.Macro), m.Instance}
	micros, places := d.micros[key], d.place[key]
	if micros == nil {
		micros, places = make(map[string]*tally), make(map[string]int)
		d.micros[key], d.place[key] = micros, places
	}
	if place, seen := places[m.Name]; !seen || position < place {
		places[m.Name] = position
	}
	t := of(micros, m.Name)
	t.nodes += len(m.Seconds) + m.Failed
	t.good += len(m.Seconds)
	t.seconds = append(t.seconds, m.Seconds...)
}

// Summary is what was added, for the period p.
func (d *Digest) Summary(p Period) *Summary {
	s := &Summary{
		From: p.From, To: p.To, Operation: p.Operation, Workflows: len(d.workflows), All: d.all.group(""),
		Clusters: groups(d.clusters), Environments: groups(d.environments), Steps: []StepSummary{},
	}
	for key, t := range d.steps {
		micros := groups(d.micros[key])
		slices.SortStableFunc(micros, func(a, b Group) int { return d.place[key][a.Name] - d.place[key][b.Name] })
		s.Steps = append(s.Steps, StepSummary{Group: t.group(key.instance), Macro: key.macro, Micros: micros})
	}
	slices.SortFunc(s.Steps, func(a, b StepSummary) int {
		if a.Macro != b.Macro {
			return a.Macro - b.Macro
		}
		return strings.Compare(a.Name, b.Name)
	})
	return s
}

// macroNumber is the place of a macro-step in its operation, from 1.
func macroNumber(macro string) int {
	switch macro {
	case "BroadcastEnv":
		return 2
	case "BootNewEnv":
		return 3
	}
	return 1
}

func (t *tally) group(name string) Group {
	g := Group{Name: name, Nodes: t.nodes, Spread: SpreadOf(t.seconds)}
	if t.nodes > 0 {
		g.Success = Rate(float64(t.good) / float64(t.nodes))
	}
	return g
}

func groups(m map[string]*tally) []Group {
	all := []Group{}
	for name, t := range m {
		all = append(all, t.group(name))
	}
	slices.SortFunc(all, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return all
}
