package imagebench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
)

// Print writes the results as a table.
func Print(w io.Writer, all []Result) {
	fmt.Fprintf(w, "%-20s %-18s %8s %8s %9s %7s %7s  %s\n", "input", "contender", "seconds", "CPU s", "MiB", "faster", "CPU", "goal")
	for _, r := range all {
		for i, f := range r.Figures {
			name, ratio, goal := "", "", ""
			switch i {
			case 0:
				name, goal = r.Row, r.Goal
			default:
				ratio = fmt.Sprintf("%6.2fx %6.2fx", f.Seconds/r.Figures[0].Seconds, r.Figures[0].CPU/f.CPU)
			}
			fmt.Fprintf(w, "%-20s %-18s %8.2f %8.2f %9s %15s  %s\n", name, f.Name, f.Seconds, f.CPU, mebibytes(f.Memory), ratio, goal)
		}
	}
}

// PrintJSON writes the results as one JSON object.
func PrintJSON(w io.Writer, all []Result) error {
	var peak int64
	ratios := make(map[string]float64)
	for _, r := range all {
		ratios[r.Row] = r.Ratio
		if len(r.Figures) > 0 {
			peak = max(peak, r.Figures[0].Memory)
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"cpus": runtime.NumCPU(), "ratios": ratios, "peak_memory_bytes": peak, "rows": all})
}

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(n)/(1<<20))
}
