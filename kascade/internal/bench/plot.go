package bench

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/go-analyze/charts"
)

// Size of the picture, in pixels.
const (
	plotWidth  = 1000
	plotHeight = 600
)

// series is one line of the picture: MiB/s over the number of nodes.
type series struct {
	name string
	at   map[int]float64
}

// Plot draws the throughput at the slowest receiver against the number of nodes, and what
// iperf3 reached: over one hop if cables were shaped, divided by the hops if they were not.
func Plot(path string, all []*Figures) error {
	lines, nodes := seriesOf(all)
	if len(nodes) == 0 {
		return fmt.Errorf("--plot %s: nothing was measured", path)
	}
	var values [][]float64
	var names, labels []string
	for _, s := range lines {
		var v []float64
		for _, n := range nodes {
			if y, ok := s.at[n]; ok {
				v = append(v, y)
			} else {
				v = append(v, charts.GetNullValue())
			}
		}
		values, names = append(values, v), append(names, s.name)
	}
	for _, n := range nodes {
		labels = append(labels, fmt.Sprintf("%d nodes", n))
	}
	o := charts.NewLineChartOptionWithData(values)
	o.Title.Text = "Throughput at the slowest receiver"
	o.Title.Subtext = "MiB/s against the number of nodes"
	o.Legend.SeriesNames = names
	o.Legend.Offset = charts.OffsetStr{Left: "center", Top: "50"}
	o.XAxis.Labels = labels
	o.YAxis[0].Min = charts.Ptr(0.0)
	o.ValueFormatter = func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	o.Symbol = charts.Symbol{Shape: charts.SymbolDot}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputPNG, Width: plotWidth, Height: plotHeight})
	if err := p.LineChart(o); err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	png, err := p.Bytes()
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return os.WriteFile(path, png, 0o644)
}

// seriesOf sorts figures into lines, one for each kind of case, and gives the numbers of nodes.
func seriesOf(all []*Figures) (lines []*series, nodes []int) {
	seen := map[int]bool{}
	line := func(name string) *series {
		i := slices.IndexFunc(lines, func(s *series) bool { return s.name == name })
		if i < 0 {
			i, lines = len(lines), append(lines, &series{name, map[int]float64{}})
		}
		return lines[i]
	}
	for _, f := range all {
		seen[f.Nodes] = true
		line(f.kind()).at[f.Nodes] = f.Rate / mib
	}
	for _, f := range all {
		switch {
		case f.Iperf == nil:
		case f.LineRate > 0:
			line("iperf3, one hop" + f.shaped()).at[f.Nodes] = f.Iperf.Rate / mib
		default:
			line("iperf3, one hop ÷ N").at[f.Nodes] = f.Iperf.Rate / mib / float64(f.Nodes)
		}
	}
	return lines, slices.Sorted(maps.Keys(seen))
}

// kind is what cases have in common that differ in the number of nodes.
func (f *Figures) kind() string {
	s := "not verified"
	if f.Verified {
		s = "verified"
	}
	if f.Encrypt {
		s += ", encrypted"
	}
	if f.Failures > 0 {
		s += ", failures"
	}
	if len(f.slow) > 0 {
		s += ", slow nodes"
	}
	return s + f.shaped()
}

func (f *Figures) shaped() string {
	if f.LineRate == 0 {
		return ""
	}
	return fmt.Sprintf(", %.0f Mbit/s", float64(f.LineRate)/mbit)
}
