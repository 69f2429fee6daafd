package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources tell what is now; all are needed.
type Sources struct {
	Running func() map[string]int                                                   // operations under way, by kind
	Agents  func() int                                                              // open sessions
	Nodes   func(ctx context.Context) (states map[string]map[string]int, err error) // nodes by cluster and by state
	Windows func() map[string]Window                                                // by name: reboot, check
}

// Window is how full a window is.
type Window struct{ Size, Occupied, Waiting int }

// scrapeTime bounds what one scrape may ask of the store.
const scrapeTime = 5 * time.Second

// present is what is read at each scrape.
type present struct {
	sources Sources

	running, agents, nodes, size, occupied, waiting *prometheus.Desc
}

func newPresent(s Sources) *present {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &present{
		sources:  s,
		running:  desc("operations_running", "Operations under way.", "kind"),
		agents:   desc("agents_connected", "Nodes whose agents have a session with the coordinator."),
		nodes:    desc("nodes", "Nodes by the state that the last operation left them in; never_used for those without one.", "cluster", "state"),
		size:     desc("window_size", "Nodes that may be in a window at once.", "window"),
		occupied: desc("window_occupied", "Nodes that are in a window.", "window"),
		waiting:  desc("window_waiting", "Nodes that wait for a place in a window.", "window"),
	}
}

// Describe implements prometheus.Collector.
func (p *present) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.running, p.agents, p.nodes, p.size, p.occupied, p.waiting} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (p *present) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for kind, n := range p.sources.Running() {
		gauge(p.running, n, kind)
	}
	gauge(p.agents, p.sources.Agents())
	for name, w := range p.sources.Windows() {
		gauge(p.size, w.Size, name)
		gauge(p.occupied, w.Occupied, name)
		gauge(p.waiting, w.Waiting, name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	states, err := p.sources.Nodes(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(p.nodes, err)
		return
	}
	for cluster, of := range states {
		for state, n := range of {
			gauge(p.nodes, n, cluster, state)
		}
	}
}
