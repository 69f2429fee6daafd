package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// disk makes the file of a disk of 32 MiB with two partitions.
func disk(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	run(t, "truncate", "-s", "32M", file)
	run(t, "sgdisk", "-n", "1:2048:+8M", "-c", "1:KDPL_DEPLOY_disk0", "-n", "2:0:0", file)
	return file
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}

// The reference is sgdisk: it has nothing to complain of afterwards, and its own
// -e makes the very same table.
func TestFitBiggerDisk(t *testing.T) {
	file := disk(t)
	if moved, err := FitDevice(file); moved || err != nil {
		t.Errorf("Fit of a disk that fits = %v, %v, want nothing to do", moved, err)
	}
	before := run(t, "sgdisk", "-i", "1", file)
	mbr, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	run(t, "truncate", "-s", "100M", file)
	reference := file + ".sgdisk"
	run(t, "cp", "--sparse=always", file, reference)
	contains(t, "sgdisk before", run(t, "sgdisk", "-v", file), "at the end of the disk")

	if moved, err := FitDevice(file); !moved || err != nil {
		t.Fatalf("Fit = %v, %v, want moved", moved, err)
	}
	contains(t, "sgdisk", run(t, "sgdisk", "-v", file), "No problems found", "139264 (68.0 MiB)")
	if after := run(t, "sgdisk", "-i", "1", file); after != before {
		t.Errorf("partition 1 is %s, want %s", after, before)
	}
	run(t, "sgdisk", "-e", reference)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[512:64<<10], want[512:64<<10]) || !bytes.Equal(got[99<<20:], want[99<<20:]) {
		t.Error("the tables are not those of sgdisk -e")
	}
	if !bytes.Equal(got[:512], mbr[:512]) {
		t.Error("the MBR was changed")
	}
	if moved, err := FitDevice(file); moved || err != nil {
		t.Errorf("Fit again = %v, %v, want nothing to do", moved, err)
	}
}

// A copy that the image was cut before is made anew.
func TestFitLostCopy(t *testing.T) {
	file := disk(t)
	run(t, "dd", "if=/dev/zero", "of="+file, "bs=512", "seek=65500", "count=36", "conv=notrunc")
	if moved, err := FitDevice(file); !moved || err != nil {
		t.Fatalf("Fit = %v, %v, want moved", moved, err)
	}
	contains(t, "sgdisk", run(t, "sgdisk", "-v", file), "No problems found")
}

func TestFitLeavesOthersAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk")
	run(t, "truncate", "-s", "8M", file)
	run(t, "sh", "-c", "echo ',4M' | sfdisk -q --label dos "+file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := FitDevice(file); moved || err != nil {
		t.Errorf("Fit of a disk with an MBR = %v, %v, want nothing to do", moved, err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a disk without a GPT was changed (%v)", err)
	}
}

func TestFitErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		text   string
	}{
		{"header", func(b []byte) []byte { b[512+60] ^= 1; return b }, "sum of the image's GPT header"},
		{"entries", func(b []byte) []byte { b[1024+60] ^= 1; return b }, "sum of the image's GPT entries"},
		{"smaller", func(b []byte) []byte { return b[:20<<20] }, "the disk is smaller"},
	} {
		b, err := os.ReadFile(disk(t))
		if err != nil {
			t.Fatal(err)
		}
		b = tt.change(b)
		before := bytes.Clone(b)
		m := memory(b)
		_, err = Fit(m, int64(len(b)), 512)
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: Fit = %v, want %q", tt.name, err, tt.text)
		}
		if !bytes.Equal(b, before) {
			t.Errorf("%s: the disk was changed", tt.name)
		}
	}
}

// memory is a disk in memory.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m)) {
		return 0, errors.New("outside of the disk")
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m)) {
		return 0, errors.New("outside of the disk")
	}
	return copy(m[off:], p), nil
}

// FuzzFit fits disks with any table, the sums made right so that it is looked at.
func FuzzFit(f *testing.F) {
	b, err := os.ReadFile(disk(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[512:1024], b[1024:2048], uint16(200))
	f.Fuzz(func(t *testing.T, header, entries []byte, blocks uint16) {
		m := make(memory, int(blocks)*512)
		if len(m) < 4096 || len(header) < headerSize {
			return
		}
		h := make([]byte, 512)
		copy(h, header)
		copy(m[1024:], entries)
		tab := &table{block: 512, header: h}
		if n := tab.uint32(atHeaderSize); n < headerSize || n > 512 {
			h[atHeaderSize], h[atHeaderSize+1], h[atHeaderSize+2], h[atHeaderSize+3] = headerSize, 0, 0, 0
		}
		if n, err := tab.entriesSize(); err == nil && 1024+n <= int64(len(m)) {
			putSum(h, atEntriesCRC, m[1024:1024+n])
		}
		copy(m[512:], tab.made(1, int64(tab.uint64(atAlternate)), 2, int64(tab.uint64(atLast))))
		before := bytes.Clone(m[:512])
		if _, err := Fit(m, int64(len(m)), 512); err == nil && string(m[512:520]) == signature {
			if moved, err := Fit(m, int64(len(m)), 512); moved || err != nil {
				t.Errorf("Fit again = %v, %v, want nothing to do", moved, err)
			}
		}
		if !bytes.Equal(m[:512], before) {
			t.Error("the MBR was changed")
		}
	})
}

func putSum(header []byte, at int, of []byte) {
	binary.LittleEndian.PutUint32(header[at:], crc32.ChecksumIEEE(of))
}
