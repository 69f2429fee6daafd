// Bench-image measures how fast images are extracted and written, beside GNU
// tar, bsdtar and others, on an ext4 on a loop device (root, Linux). See
// agent/PERFORMANCE.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"

	"kadeploy/agent/internal/imagebench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "run" {
		return extract(ctx, args[1:])
	}
	fs := flag.NewFlagSet("bench-image", flag.ContinueOnError)
	dir := fs.String("dir", "var/bench-image", "`DIRECTORY` of inputs, which are made once, and of the disk")
	runs := fs.Int("runs", 5, "how often each contender runs; medians are shown")
	rows := fs.String("rows", "", "only rows whose name matches `REGEXP`")
	asJSON := fs.Bool("json", os.Getenv("JSON") == "1", "print one JSON object ($JSON=1)")
	if err := fs.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*rows)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	results, err := imagebench.Run(ctx, imagebench.Config{Dir: *dir, Runs: max(*runs, 1), Rows: pattern, Self: self, Log: io.Writer(os.Stderr)})
	if err != nil {
		return err
	}
	if *asJSON {
		return imagebench.PrintJSON(os.Stdout, results)
	}
	imagebench.Print(os.Stdout, results)
	return nil
}

// extract is one run of ours, in a process of its own: bench-image run ... INPUT TARGET.
func extract(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("bench-image run", flag.ContinueOnError)
	var j imagebench.Job
	fs.StringVar(&j.Kind, "kind", "tar", "tar, dd or blocks")
	fs.StringVar(&j.Compression, "compression", "zstd", "as in descriptions")
	fs.BoolVar(&j.NoFlush, "no-flush", false, "do not wait until all is on the disk")
	profile := fs.String("profile", "", "write a CPU profile to `FILE`")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() != 2 {
		return fmt.Errorf("run: give an input and a target")
	}
	j.Input, j.Target = fs.Arg(0), fs.Arg(1)
	stop, err := startProfile(*profile)
	if err != nil {
		return err
	}
	defer stop()
	if err := imagebench.Extract(ctx, j); err != nil {
		return err
	}
	peak, err := imagebench.PeakMemory()
	fmt.Println(peak)
	return err
}
