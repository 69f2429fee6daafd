package blockroot

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/image"
	"kadeploy/proto/image/blocks"
	"kadeploy/proto/image/frames"
	"kadeploy/proto/image/imagetest"
)

func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// device is a loop device, full of what is neither zeros nor a file system.
func device(t testing.TB, mib int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test uses loop devices: run it as root")
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, bytes.Repeat([]byte("garbage!"), mib<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := strings.TrimSpace(output(t, "losetup", "--find", "--show", file))
	t.Cleanup(func() { output(t, "losetup", "--detach", dev) })
	return dev
}

// stream is a file system of a tree in the form in which it is sent.
func stream(t testing.TB, tree string, mib string) ([]byte, [16]byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs")
	output(t, "mke2fs", "-q", "-t", "ext4", "-d", tree, path, mib+"M")
	output(t, "e2fsck", "-f", "-p", path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	super := make([]byte, 1024)
	if _, err := f.ReadAt(super, 1024); err != nil {
		t.Fatal(err)
	}
	size := 1024 << super[24]
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	facts := blocks.Header{BlockSize: size, Blocks: uint64(info.Size()) / uint64(size), UUID: [16]byte(super[0x68:])}
	h, err := blocks.NewHeader(f, facts, []blocks.Range{{Start: 0, Count: facts.Blocks}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := blocks.NewReader(f, h)
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	x, err := frames.Encode(t.Context(), &body, r, frames.Options{FrameSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return append(x.Encode(), body.Bytes()...), facts.UUID
}

// mounted formats a device and mounts it with a file on it, as the steps before do.
func mounted(t testing.TB, device string) (point string) {
	t.Helper()
	point = t.TempDir()
	output(t, "mkfs.ext4", "-q", "-F", device)
	output(t, "mount", "-o", "noatime", device, point)
	t.Cleanup(func() { _ = exec.Command("umount", point).Run() })
	if err := os.WriteFile(filepath.Join(point, "old"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	return point
}

// receive gives a sink the stream, and ends it as a chain does.
func receive(t testing.TB, ctx context.Context, root Root, data []byte) error {
	t.Helper()
	w, err := New(&disk.Host{}, root)
	if err != nil {
		return err
	}
	s := image.NewBlocksSink(ctx, image.BlocksOptions{Device: w.Device(), Begin: w.Begin, Finish: w.Finish, Undo: w.Undo})
	for len(data) > 0 {
		n := min(len(data), 300_000)
		if _, err := s.Write(data[:n]); err != nil {
			s.Abort(err)
			return err
		}
		data = data[n:]
	}
	return s.Commit(ctx)
}

func tree(t testing.TB) string {
	dir := t.TempDir()
	imagetest.Tool(t, `cd "$1"; mkdir d; head -c 9000000 /dev/urandom > d/f; ln d/f g; echo new > n; truncate -s 5M hole; find . -exec touch -h -d 2001-01-01 {} +`, "bash", "-e", "-s", dir)
	return dir
}

func TestReplace(t *testing.T) {
	dev, src := device(t, 300), tree(t)
	point := mounted(t, dev)
	data, uuid := stream(t, src, "100")
	err := receive(t, t.Context(), Root{Target: disk.Target{Disk: dev}, Point: point, Label: "here", Options: "noatime"}, data)
	if err != nil {
		t.Fatal(err)
	}
	got := imagetest.ReadTree(t, point)
	delete(got, "lost+found")
	want := imagetest.ReadTree(t, src)
	want["."] = got["."] // mke2fs does not keep it
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	sig, err := disk.Probe(dev)
	if err != nil || sig.Label != "here" || strings.ReplaceAll(sig.UUID, "-", "") == hexOf(uuid) {
		t.Errorf("%+v, %v; want the label here and another UUID than %x", sig, err, uuid)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(point, &st); err != nil || st.Blocks*uint64(st.Bsize) < 200<<20 {
		t.Errorf("%d bytes, %v; want the partition's 300 MiB", st.Blocks*uint64(st.Bsize), err)
	}
	if options := output(t, "findmnt", "-no", "OPTIONS,SOURCE", point); !strings.Contains(options, "noatime") || !strings.Contains(options, dev) {
		t.Errorf("mounted as %s", options)
	}
	output(t, "umount", point)
	output(t, "e2fsck", "-f", "-n", dev)
}

func hexOf(u [16]byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range u {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// Whatever goes wrong, what is mounted afterwards is the old file system, if it
// was not touched, or an empty one.
func TestFailures(t *testing.T) {
	dev, src := device(t, 150), tree(t)
	good, _ := stream(t, src, "100")
	large, _ := stream(t, src, "200")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	damaged := bytes.Clone(good)
	damaged[len(good)-100_000] ^= 1
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		data  []byte
		want  string
		stays bool
	}{
		{"too large", t.Context(), large, "choose a larger partition", true},
		{"not frames", t.Context(), make([]byte, 100_000), "index", true},
		{"no data", t.Context(), good[:1000], "", true},
		{"truncated", t.Context(), good[:len(good)/2], "", false},
		{"damaged", t.Context(), damaged, "corrupt", false},
		{"canceled", canceled, good, "canceled", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			point := mounted(t, dev)
			root := Root{Target: disk.Target{Disk: dev}, Point: point, Label: "again"}
			err := receive(t, tt.ctx, root, tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("receive = %v, want an error with %q", err, tt.want)
			}
			_, err = os.Stat(filepath.Join(point, "old"))
			if there := err == nil; there != tt.stays {
				t.Errorf("the old file system is there: %v, want %v", there, tt.stays)
			}
			if err := os.WriteFile(filepath.Join(point, "next"), nil, 0o600); err != nil {
				t.Errorf("the next attempt cannot write: %v", err)
			}
			if source := strings.TrimSpace(output(t, "findmnt", "-no", "SOURCE", point)); source != dev {
				t.Errorf("%s is mounted, want %s", source, dev)
			}
			if err := receive(t, t.Context(), root, good); err != nil {
				t.Errorf("the next attempt: %v", err)
			}
			output(t, "umount", point)
		})
	}
}

func TestRefusesOtherMounts(t *testing.T) {
	dev := device(t, 20)
	point := mounted(t, dev)
	below := filepath.Join(point, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	output(t, "mount", "-t", "tmpfs", "none", below)
	t.Cleanup(func() { _ = exec.Command("umount", below).Run() })
	if _, err := New(&disk.Host{}, Root{Target: disk.Target{Disk: dev}, Point: point}); err == nil || !strings.Contains(err.Error(), below) {
		t.Errorf("New with something mounted below = %v, want an error that names it", err)
	}
}
