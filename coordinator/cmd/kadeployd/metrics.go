package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"kadeploy/coordinator/internal/auth"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/metrics"
	"kadeploy/coordinator/internal/steps"
	"kadeploy/coordinator/internal/workflow"
)

// metricsPath is where Prometheus looks, beside the REST interface.
const metricsPath = "/metrics"

// windowed is what has a window.
type windowed interface {
	Window() (size, occupied, waiting int)
}

// newMetrics makes the metrics of a daemon whose other parts are made by the
// time of the first scrape.
func (d *daemon) newMetrics(windows map[string]windowed) *metrics.Metrics {
	return metrics.New(version, metrics.Sources{
		Running: func() map[string]int {
			counts := make(map[string]int)
			for kind, n := range d.engine.Running() {
				counts[string(kind)] = n
			}
			return counts
		},
		Agents: func() int { return len(d.fleet.Agents()) },
		Nodes: func(ctx context.Context) (map[string]map[string]int, error) {
			states, err := d.store.States(ctx)
			if err != nil {
				return nil, err
			}
			return countStates(d.cfg.Site.Clusters, states), nil
		},
		Windows: func() map[string]metrics.Window {
			all := make(map[string]metrics.Window)
			for name, w := range windows {
				size, occupied, waiting := w.Window()
				all[name] = metrics.Window{Size: size, Occupied: occupied, Waiting: waiting}
			}
			return all
		},
	})
}

// countStates counts the nodes of each cluster by state. Nodes that have left the site do not count.
func countStates(clusters []*cluster.Cluster, states map[string]string) map[string]map[string]int {
	counts := make(map[string]map[string]int)
	for _, c := range clusters {
		of := make(map[string]int)
		for _, n := range c.Nodes {
			state := states[n.Name]
			if state == "" {
				state = "never_used"
			}
			of[state]++
		}
		counts[c.Name] = of
	}
	return counts
}

// withMetrics answers scrapes beside next. Over the Unix socket everybody may
// scrape, over TCP those of the whitelist.
func withMetrics(next, scrape http.Handler, may auth.Whitelist) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != metricsPath {
			next.ServeHTTP(w, r)
			return
		}
		if _, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && !may.Has(r.Context(), r.RemoteAddr) {
			http.Error(w, "this host may not read the metrics: add it to metrics/whitelist in server.conf", http.StatusForbidden)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "metrics can only be read", http.StatusMethodNotAllowed)
			return
		}
		scrape.ServeHTTP(w, r)
	})
}

// measuredBroadcaster counts what a Broadcaster does.
type measuredBroadcaster struct {
	steps.Broadcaster
	count func(size, sent int64, nodes int, took time.Duration)
}

func (m measuredBroadcaster) Broadcast(ctx context.Context, t steps.Transfer) (*steps.Delivery, error) {
	out, err := m.Broadcaster.Broadcast(ctx, t)
	if err == nil {
		whole := 0
		for _, failure := range out.Nodes {
			if failure == nil {
				whole++
			}
		}
		m.count(t.File.Size, out.Sent, whole, out.Elapsed)
	}
	return out, err
}

// measuredJournal counts what is journalled.
type measuredJournal struct {
	*journal
	count func(transitions int, took time.Duration)
}

func (m measuredJournal) Append(ctx context.Context, records []workflow.Record) error {
	began := time.Now()
	err := m.journal.Append(ctx, records)
	if err == nil && len(records) > 0 {
		m.count(len(records), time.Since(began))
	}
	return err
}
