package image

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkExtract extracts the programs and libraries of the machine that it
// runs on, and reports how much longer GNU tar takes for the same archive, turn
// about, flush included on both sides ("tar/ours", medians). With TMPDIR on a
// tmpfs the disk is out of it.
func BenchmarkExtract(b *testing.B) {
	for _, c := range []struct{ compression, flag string }{{None, ""}, {Zstd, "--zstd"}, {LZ4, "-Ilz4"}, {Gzip, "-z"}} {
		b.Run(c.compression, func(b *testing.B) {
			archive := filepath.Join(b.TempDir(), "a")
			args := []string{"-cf", archive, "-C", "/", "usr/bin", "usr/sbin", "usr/lib/x86_64-linux-gnu", "usr/share/doc", "usr/share/perl"}
			if c.flag != "" {
				args = append([]string{c.flag}, args...)
			}
			tool(b, "", "tar", args...)
			data, err := os.ReadFile(archive)
			if err != nil {
				b.Fatal(err)
			}
			var ours, theirs []time.Duration
			for b.Loop() {
				theirs = append(theirs, timed(b, func(dir string) {
					args := []string{"-xpf", archive, "-C", dir, "--numeric-owner"}
					if c.flag != "" {
						args = append([]string{c.flag}, args...)
					}
					tool(b, "", "tar", args...)
					tool(b, "", "sync", "-f", dir)
				}))
				ours = append(ours, timed(b, func(dir string) {
					if _, err := extract(b, data, dir, c.compression); err != nil {
						b.Fatal(err)
					}
				}))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			b.ReportMetric(ours[len(ours)/2].Seconds(), "ours-s")
			b.ReportMetric(theirs[len(theirs)/2].Seconds(), "tar-s")
			b.ReportMetric(theirs[len(theirs)/2].Seconds()/ours[len(ours)/2].Seconds(), "tar/ours")
		})
	}
}

// timed runs do on an empty directory, which is removed outside of the time.
func timed(b *testing.B, do func(dir string)) time.Duration {
	dir, err := os.MkdirTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	do(dir)
	d := time.Since(begin)
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	return d
}
