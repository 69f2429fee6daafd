// Package metrics tells Prometheus what the coordinator does: operations and
// their nodes, how long steps take, how fast images go out, how full the windows
// are. It bears no names of users, nodes or environments, only of clusters and
// steps, so that what is kept does not grow with the site's life.
package metrics

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kadeploy/coordinator/internal/workflow"
)

const namespace = "kadeploy"

// Metrics are all metrics of one coordinator. Its methods may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry

	operations *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	nodes      *prometheus.CounterVec
	steps      *prometheus.HistogramVec
	rates      *prometheus.HistogramVec
	sent       prometheus.Counter
	received   prometheus.Counter
	journal    prometheus.Histogram
	records    prometheus.Counter
}

// New makes the metrics; version is the program's. Sources are asked at each scrape.
func New(version string, sources Sources) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.operations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "operations_total",
		Help: "Operations that ended, by kind (deployment, reboot, power) and result: ok (every node), partial, failed (no node), error (it could not run).",
	}, []string{"kind", "result"})
	m.durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "operation_duration_seconds", Help: "Time from the order to the last node's verdict.",
		Buckets: []float64{1, 5, 10, 30, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1800},
	}, []string{"kind"})
	m.nodes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "operation_nodes_total", Help: "Nodes of operations that ended, by kind and result (ok, ko).",
	}, []string{"kind", "result"})
	m.steps = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "step_duration_seconds",
		Help:    "Stays of single nodes in micro-steps, without the wait for others, by result (ok, ko).",
		Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640},
	}, []string{"cluster", "instance", "step", "result"})
	m.rates = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "broadcast_rate_bytes_per_second", Help: "Rate of each image at every node that got it.",
		Buckets: []float64{1e6, 1e7, 3e7, 6e7, 1.1e8, 2.5e8, 5e8, 1.1e9, 2.5e9, 5e9},
	}, nil)
	m.sent = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "broadcast_sent_bytes_total", Help: "Bytes that the coordinator itself sent into chains.",
	})
	m.received = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "broadcast_received_bytes_total", Help: "Bytes that nodes received and verified.",
	})
	m.journal = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "journal_append_seconds", Help: "Time until transitions of a workflow are on the disk.",
		Buckets: []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2},
	})
	m.records = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "journal_transitions_total", Help: "Transitions of workflows that were journalled.",
	})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the version is in the label.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.operations, m.durations, m.nodes, m.steps, m.rates, m.sent, m.received, m.journal, m.records, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newPresent(sources))
	for _, k := range []workflow.Kind{workflow.Deploy, workflow.Reboot, workflow.Power} {
		for _, result := range []string{"ok", "partial", "failed", "error"} {
			m.operations.WithLabelValues(string(k), result) // so that rates of what never happened are 0, not absent
		}
	}
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Ended counts an operation that is over.
func (m *Metrics) Ended(v workflow.View) {
	kind, result := string(v.Kind), "partial"
	switch {
	case v.Failure != nil:
		result = "error"
	case len(v.KO) == 0:
		result = "ok"
	case len(v.OK) == 0:
		result = "failed"
	}
	m.operations.WithLabelValues(kind, result).Inc()
	m.durations.WithLabelValues(kind).Observe(v.Elapsed.Seconds())
	m.nodes.WithLabelValues(kind, "ok").Add(float64(len(v.OK)))
	m.nodes.WithLabelValues(kind, "ko").Add(float64(len(v.KO)))
}

// Left counts the stay of a node in a micro-step.
func (m *Metrics) Left(s workflow.Span) {
	result := "ok"
	if s.Error != "" {
		result = "ko"
	}
	m.steps.WithLabelValues(s.Cluster, s.Instance, stepOf(s.Micro), result).Observe(s.Ended.Sub(s.Started).Seconds())
}

// stepOf is the label of a micro-step. Operations beside it (MICRO-NAME) bear names that
// users choose: they are put together, lest anybody's texts be shown to all, for ever.
func stepOf(micro string) string {
	if of, _, own := strings.Cut(micro, "-"); own {
		return of + "-operation"
	}
	return micro
}

// Broadcast counts a transfer of size bytes: nodes got it whole, and the
// coordinator itself sent that many bytes.
func (m *Metrics) Broadcast(size, sent int64, nodes int, took time.Duration) {
	m.sent.Add(float64(sent))
	m.received.Add(float64(size) * float64(nodes))
	if nodes > 0 && took > 0 {
		m.rates.WithLabelValues().Observe(float64(size) / took.Seconds())
	}
}

// Journalled counts transitions that were written together.
func (m *Metrics) Journalled(transitions int, took time.Duration) {
	m.records.Add(float64(transitions))
	m.journal.Observe(took.Seconds())
}
