package image

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkRaw writes the zstd image of an 8 GiB disk with about 1 GiB of files onto
// a loop device, turn about with `zstd -dc | dd conv=sparse`, and reports how much longer
// that takes ("dd/ours", medians; "durable": with the flush on both sides).
func BenchmarkRaw(b *testing.B) {
	needRoot(b)
	dir := b.TempDir()
	disk, image := filepath.Join(dir, "disk"), filepath.Join(dir, "image")
	if made := os.Getenv("KADEPLOY_BENCH_DISK"); made != "" { // without .zst: making one takes a minute
		image = made
	}
	// The programs and libraries of the machine, as often as it takes.
	tool(b, "", "bash", "-ec", `
		truncate -s 8G $0/disk; [ ! -e $1.zst ] || exit 0
		mkdir $0/tree; n=0
		while [ $(du -sm $0/tree | cut -f1) -lt 1024 ]; do mkdir $0/tree/$n; cp -a /usr/bin /usr/lib/x86_64-linux-gnu /usr/share/perl $0/tree/$n; n=$((n+1)); done
		truncate -s 8G $1; mke2fs -q -t ext4 -E lazy_itable_init=1 -d $0/tree $1; rm -r $0/tree
		zstd -q --rm -T2 $1`, dir, image)
	dev := loop(b, disk)
	var ours, theirs, durable, theirsDurable []time.Duration
	for b.Loop() {
		begin := time.Now()
		tool(b, "", "bash", "-ec", "set -o pipefail; zstd -qdc $0 | dd of=$1 bs=1M iflag=fullblock conv=sparse status=none", image+".zst", dev)
		theirs = append(theirs, time.Since(begin))
		tool(b, "", "sync", dev)
		theirsDurable = append(theirsDurable, time.Since(begin))

		begin = time.Now()
		s, err := NewRawSink(b.Context(), RawOptions{Device: dev, Compression: Zstd})
		if err != nil {
			b.Fatal(err)
		}
		f, err := os.Open(image + ".zst")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{s}, f, make([]byte, 512<<10)); err != nil {
			b.Fatal(err)
		}
		f.Close()
		s.pipe.Close()
		<-s.done
		ours = append(ours, time.Since(begin))
		if err := s.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		durable = append(durable, time.Since(begin))
	}
	median := func(d []time.Duration) float64 { slices.Sort(d); return d[len(d)/2].Seconds() }
	b.ReportMetric(median(ours), "ours-s")
	b.ReportMetric(median(theirs)/median(ours), "dd/ours")
	b.ReportMetric(median(durable), "ours-durable-s")
	b.ReportMetric(median(theirsDurable)/median(durable), "dd/ours-durable")
}

// loop attaches a file as a block device.
func loop(t testing.TB, file string, args ...string) string {
	t.Helper()
	out, err := exec.Command("losetup", append(append([]string{"--find", "--show"}, args...), file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup %s: %v\n%s", file, err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Error(fmt.Errorf("losetup --detach %s: %w: %s", dev, err, out))
		}
	})
	return dev
}
