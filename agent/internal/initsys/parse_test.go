package initsys

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKernelLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewKernelLog(&out, "kadeploy", slog.LevelInfo)).With("node", "n-1")
	log.Debug("not shown")
	log.Info("started", "program", "a b", "pid", 7)
	log.WithGroup("g").Error("two\nlines", "cause", "")
	const want = "<13>kadeploy: started node=n-1 program=\"a b\" pid=7\n<11>kadeploy: two; lines node=n-1 g.cause=\"\"\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	out.Reset()
	log.Info(strings.Repeat("x", 5000))
	if n := out.Len(); n > maxLine+1 {
		t.Errorf("a line of %d bytes, the kernel takes %d", n, maxLine+1)
	}
}

func TestListens(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue
   0: 00000000:0016 00000000:0000 0A 00000000:00000000
   1: 0F02000A:0017 0202000A:9B46 01 00000000:00000000
`
	for port, want := range map[uint16]bool{22: true, 23: false, 25300: false} {
		if got := listens(table, port); got != want {
			t.Errorf("listens(%d) = %v, want %v", port, got, want)
		}
	}
}

func TestParseMount(t *testing.T) {
	for line, want := range map[string]string{
		`36 1 254:3 / /mnt/dest rw,relatime shared:1 - ext4 /dev/vda3 rw`: "/mnt/dest",
		`37 1 254:4 / /mnt/a\040b rw - xfs /dev/vda4 rw`:                  "/mnt/a b",
		`22 1 0:20 / /proc rw - proc proc rw`:                             "",
		`23 1 0:5 / /dev rw - devtmpfs devtmpfs rw`:                       "",
		`broken`: "", `1 2 3 4 5 - `: "",
	} {
		target, disk := parseMount(line)
		if disk != (want != "") || disk && target != want {
			t.Errorf("parseMount(%q) = %q, %v, want %q", line, target, disk, want)
		}
	}
}

func TestParseModules(t *testing.T) {
	got := parseModules("# why\n\nvirtio_net\n  virtio_blk \n; no\n")
	if diff := cmp.Diff([]string{"virtio_net", "virtio_blk"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseTime(t *testing.T) {
	answer := make([]byte, 48)
	answer[0], answer[1] = 4<<3|4, 2
	put := func(seconds uint32) { binary.BigEndian.PutUint32(answer[40:], seconds) }
	put(3_996_777_600)
	binary.BigEndian.PutUint32(answer[44:], 1<<31)
	got, err := parseTime(answer)
	if want := time.Date(2026, 8, 27, 0, 0, 0, 5e8, time.UTC); err != nil || !got.Equal(want) {
		t.Errorf("parseTime = %s, %v, want %s", got.UTC(), err, want)
	}
	put(0) // the era after February 2036
	if got, err := parseTime(answer); err != nil || got.UTC().Year() != 2036 {
		t.Errorf("parseTime in era 1 = %s, %v", got, err)
	}
	answer[1] = 0
	if _, err := parseTime(answer); err == nil {
		t.Error("parseTime accepted a kiss of death")
	}
	if _, err := parseTime(answer[:20]); err == nil {
		t.Error("parseTime accepted 20 bytes")
	}
}

func TestGuard(t *testing.T) {
	var out bytes.Buffer
	s := &system{logger: slog.New(NewKernelLog(&out, "t", slog.LevelInfo))}
	if s.try("a duty", func() error { panic("boom") }) {
		t.Error("try reported success of a duty that panicked")
	}
	if text := out.String(); !strings.Contains(text, "boom") || !strings.Contains(text, `duty="a duty"`) {
		t.Errorf("log of the panic: %s", text)
	}
	if !s.try("another", func() error { return nil }) {
		t.Error("try reported failure of a duty that succeeded")
	}
}
