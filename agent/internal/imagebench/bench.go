// Package imagebench measures how fast images are extracted and written, beside
// the tools that people would use otherwise, in the same run and turn about. It
// builds its inputs and its disk; what it prints are medians and ratios, which
// differ from machine to machine and are never a test.
package imagebench

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"
)

// Config says what is measured, and where.
type Config struct {
	Dir  string         // inputs are kept in it; the disk is made in it
	Runs int            // of each contender
	Rows *regexp.Regexp // of the names of rows; nil: all
	Self string         // this program: each of our own runs is a process of its own
	Log  io.Writer      // progress
}

// Contender is one way to do the work of a row.
type Contender struct {
	Name string
	// Command does it, from the input to the target: the root of an empty file
	// system, or the path of a device. It is run by sh with these in $1 and $2.
	Command string
}

// Row compares the first contender, ours, with the others, the first of which is the reference.
type Row struct {
	Name       string
	Input      string // name of the input that it needs
	Device     bool   // the target is a device
	Goal       string
	Contenders []Contender
}

// Figures of one contender: medians, and the largest memory.
type Figures struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`            // of its processes, the kernel's work for them included
	Memory  int64   `json:"memory_bytes,omitempty"` // 0: not known
	Runs    int     `json:"runs"`
}

// Result is one row's. Ratio and CPURatio compare with the reference: above 1
// is faster, below 1 is less work.
type Result struct {
	Row      string    `json:"row"`
	Goal     string    `json:"goal"`
	Ratio    float64   `json:"ratio"`
	CPURatio float64   `json:"cpu_ratio"`
	Figures  []Figures `json:"figures"`
}

// Run measures all rows that are asked for.
func Run(ctx context.Context, c Config) ([]Result, error) {
	disk, err := newDisk(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	defer disk.close()
	var all []Result
	for _, row := range rows(c.Self) {
		if c.Rows != nil && !c.Rows.MatchString(row.Name) {
			continue
		}
		input, err := prepareInput(ctx, c, row.Input)
		if err != nil {
			return all, fmt.Errorf("%s: %w", row.Name, err)
		}
		fmt.Fprintf(c.Log, "%s\n", row.Name)
		result, err := measure(ctx, c, row, input, disk)
		if err != nil {
			return all, fmt.Errorf("%s: %w", row.Name, err)
		}
		all = append(all, result)
	}
	return all, nil
}

// measure runs the contenders of a row turn about.
func measure(ctx context.Context, c Config, row Row, input string, disk *loop) (Result, error) {
	samples := make([][]sample, len(row.Contenders))
	for round := range c.Runs {
		for i, who := range row.Contenders {
			target, err := disk.empty(ctx, row.Device)
			if err != nil {
				return Result{}, err
			}
			s, err := run(ctx, who.Command, input, target)
			if err != nil {
				return Result{}, fmt.Errorf("%s: %w", who.Name, err)
			}
			fmt.Fprintf(c.Log, "  %d %-24s %6.2f s, %6.2f CPU s\n", round+1, who.Name, s.elapsed.Seconds(), s.cpu.Seconds())
			samples[i] = append(samples[i], s)
		}
	}
	result := Result{Row: row.Name, Goal: row.Goal}
	for i, who := range row.Contenders {
		result.Figures = append(result.Figures, summary(who.Name, samples[i]))
	}
	if len(result.Figures) > 1 {
		ours, reference := result.Figures[0], result.Figures[1]
		result.Ratio, result.CPURatio = reference.Seconds/ours.Seconds, ours.CPU/reference.CPU
	}
	return result, nil
}

func summary(name string, samples []sample) Figures {
	var elapsed, cpu []time.Duration
	f := Figures{Name: name, Runs: len(samples)}
	for _, s := range samples {
		elapsed, cpu = append(elapsed, s.elapsed), append(cpu, s.cpu)
		f.Memory = max(f.Memory, s.memory)
	}
	slices.Sort(elapsed)
	slices.Sort(cpu)
	f.Seconds, f.CPU = elapsed[len(elapsed)/2].Seconds(), cpu[len(cpu)/2].Seconds()
	return f
}
