package stats

// Passage is a micro-step as it is looked for in the history: of one instance, by the
// nodes of one cluster, with one environment.
type Passage struct {
	Cluster   string
	Env       string // name:version
	EnvOwner  string
	Anonymous bool
	Instance  string
	Micro     string
}

// Expectation is how long a micro-step takes, going by the history.
type Expectation struct {
	Seconds    float64 // median of the nodes that passed it lately
	Operations int     // that these nodes were part of; 0: nothing is known
}
