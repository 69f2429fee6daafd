package prepare

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"kadeploy/coordinator/internal/depot"
	"kadeploy/kascade"
)

// upper is a form that writes text in capitals.
type upper struct {
	version string
	made    chan string   // gets the hash of each image that is made
	gate    chan struct{} // nil: open; else each piece of work waits for it
	err     error
}

func (u *upper) Name() string { return "upper" }

func (u *upper) Key(im Image) (string, bool) {
	return u.version + " " + im.Filesystem, im.Kind == "tar"
}

func (u *upper) Make(ctx context.Context, job Job) error {
	text, err := io.ReadAll(job.Source)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(job.Scratch, "x"), text, 0o600); err != nil {
		return err
	}
	if u.gate != nil {
		select {
		case <-u.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	u.made <- job.Image.Hash
	if u.err != nil {
		return u.err
	}
	_, err = job.Out.Write(bytes.ToUpper(text))
	return err
}

func newUpper() *upper { return &upper{version: "1", made: make(chan string, 100)} }

func open(t *testing.T, dir string, size int64, f Form) *Service {
	t.Helper()
	s, err := New(Config{Directory: dir, Size: size, Forms: []Form{f}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func image(t *testing.T, text string) Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := blake3.Sum256([]byte(text))
	return Image{Path: path, Size: int64(len(text)), Hash: hex.EncodeToString(sum[:]), Kind: "tar", Compression: "gzip", Filesystem: "ext4"}
}

// settle waits until nothing is being prepared.
func settle(s *Service) { s.work.Wait() }

// content of a prepared image, checked against its manifest.
func content(t *testing.T, p *Prepared) string {
	t.Helper()
	data, err := os.ReadFile(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := kascade.NewManifest(bytes.NewReader(data), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Encode(), p.Manifest.Encode()) || p.Hash != hex.EncodeToString(m.Whole[:]) || p.Size != int64(len(data)) {
		t.Errorf("manifest, hash or size of the prepared image are not those of its content")
	}
	return string(data)
}

func TestPrepareOnce(t *testing.T) {
	form := newUpper()
	s := open(t, t.TempDir(), 1000, form)
	im := image(t, "hello")
	form.gate = make(chan struct{})
	for range 5 {
		s.Begin(im, "upper")
	}
	if _, err := s.Take(t.Context(), image(t, "other"), "upper", "W"); !errors.Is(err, ErrNotReady) {
		t.Errorf("Take of an image that nobody began = %v, want ErrNotReady", err)
	}
	close(form.gate)
	settle(s)
	p, err := s.Take(t.Context(), im, "upper", "W-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, p); got != "HELLO" {
		t.Errorf("prepared image = %q, want HELLO", got)
	}
	s.Begin(im, "upper") // it is there
	settle(s)
	if n := len(form.made); n != 1 {
		t.Errorf("the image was prepared %d times", n)
	}
	entries, err := filepath.Glob(filepath.Join(s.dir.Path, "*"))
	if err != nil || len(entries) != 3 {
		t.Errorf("files = %v, want data, manifest and record only", entries)
	}
}

// What a form depends on, and the image, are parts of the key.
func TestKey(t *testing.T) {
	form := newUpper()
	s := open(t, t.TempDir(), 1000, form)
	im := image(t, "hello")
	s.Begin(im, "upper")
	settle(s)
	other := im
	other.Filesystem = "xfs"
	if _, err := s.Take(t.Context(), other, "upper", "W"); !errors.Is(err, ErrNotReady) {
		t.Errorf("Take for another file system = %v, want ErrNotReady", err)
	}
	other = im
	other.Kind = "dd"
	if _, err := s.Take(t.Context(), other, "upper", "W"); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("Take for another kind = %v, want ErrUnsuitable", err)
	}
	if _, err := s.Take(t.Context(), im, "lower", "W"); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("Take of an unknown form = %v, want ErrUnsuitable", err)
	}
	form.version = "2"
	if _, err := s.Take(t.Context(), im, "upper", "W"); !errors.Is(err, ErrNotReady) {
		t.Errorf("Take of a newer version = %v, want ErrNotReady", err)
	}
}

func TestRestart(t *testing.T) {
	dir, form := t.TempDir(), newUpper()
	s := open(t, dir, 1000, form)
	im, bad := image(t, "hello"), image(t, "bad")
	s.Begin(im, "upper")
	settle(s)
	form.err = fmt.Errorf("as large as before: %w", ErrNoGain)
	s.Begin(bad, "upper")
	settle(s)
	s.Close()
	// Remains of a process that died.
	for _, name := range []string{"0123.data", "4567.json.part", "89ab.manifest", "89ab.data"} {
		if err := os.WriteFile(filepath.Join(s.dir.Path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(s.dir.Path, "scratch-1/deep"), 0o700); err != nil {
		t.Fatal(err)
	}

	form.err = nil
	s = open(t, dir, 1000, form)
	p, err := s.Take(t.Context(), im, "upper", "W")
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, p); got != "HELLO" {
		t.Errorf("prepared image = %q, want HELLO", got)
	}
	s.Begin(bad, "upper")
	settle(s)
	if _, err := s.Take(t.Context(), bad, "upper", "W"); !errors.Is(err, ErrDeclined) || !strings.Contains(err.Error(), "as large as before") {
		t.Errorf("Take of a declined image = %v, want the reason", err)
	}
	if n := len(form.made); n != 2 {
		t.Errorf("%d images were prepared, want 2: what is known is not done again", n)
	}
	names, _ := filepath.Glob(filepath.Join(s.dir.Path, "*"))
	if len(names) != 4 {
		t.Errorf("files = %v, want three of the one image and a record of the other", names)
	}
}

// A record whose data are not what it says is not used.
func TestRecoverRefusesDamage(t *testing.T) {
	for _, suffix := range []string{depot.DataSuffix, depot.ManifestSuffix, depot.RecordSuffix} {
		t.Run(suffix, func(t *testing.T) {
			dir, form := t.TempDir(), newUpper()
			s := open(t, dir, 1000, form)
			im := image(t, "hello")
			s.Begin(im, "upper")
			settle(s)
			s.Close()
			found, err := filepath.Glob(filepath.Join(s.dir.Path, "*"+suffix))
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			if err := os.Truncate(found[0], 2); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, 1000, form)
			if _, err := s.Take(t.Context(), im, "upper", "W"); !errors.Is(err, ErrNotReady) {
				t.Errorf("Take = %v, want ErrNotReady", err)
			}
			if names, _ := filepath.Glob(filepath.Join(s.dir.Path, "*")); len(names) != 0 {
				t.Errorf("files = %v, want none", names)
			}
		})
	}
}

func TestRoom(t *testing.T) {
	form := newUpper()
	s := open(t, t.TempDir(), 10, form)
	now := time.Unix(1_000_000, 0)
	s.cfg.Now = func() time.Time { now = now.Add(time.Second); return now }
	a, b, c := image(t, "aaaaa"), image(t, "bbbbb"), image(t, "ccccc")
	s.Begin(a, "upper")
	settle(s)
	s.Begin(b, "upper")
	settle(s)
	if _, err := s.Take(t.Context(), a, "upper", "W"); err != nil {
		t.Fatal(err)
	}
	s.Begin(c, "upper") // b goes: a is older, but held
	settle(s)
	if _, err := s.Take(t.Context(), b, "upper", "W"); !errors.Is(err, ErrNotReady) {
		t.Errorf("Take of what made room = %v, want ErrNotReady", err)
	}
	if _, err := s.Take(t.Context(), c, "upper", "W"); err != nil {
		t.Errorf("Take of what got the room = %v", err)
	}
	s.Begin(b, "upper") // all is held
	settle(s)
	if _, err := s.Take(t.Context(), b, "upper", "W"); err == nil || !strings.Contains(err.Error(), "prepared_size") {
		t.Errorf("Take of what found no room = %v, want the remedy", err)
	}
	s.Release("W")
	s.Begin(b, "upper")
	settle(s)
	if _, err := s.Take(t.Context(), b, "upper", "W"); err != nil {
		t.Errorf("Take after others let go = %v", err)
	}
	if s.used > 10 {
		t.Errorf("%d bytes are used of 10", s.used)
	}
}

func TestFailureIsToldAndTriedAgain(t *testing.T) {
	form := newUpper()
	s := open(t, t.TempDir(), 1000, form)
	im := image(t, "hello")
	form.err = errors.New("mkfs: no such program")
	s.Begin(im, "upper")
	settle(s)
	if _, err := s.Take(t.Context(), im, "upper", "W"); !errors.Is(err, form.err) {
		t.Errorf("Take = %v, want %v", err, form.err)
	}
	if !s.Failed(im, "upper") {
		t.Error("the failure is not remembered: nothing else would be made instead")
	}
	if names, _ := filepath.Glob(filepath.Join(s.dir.Path, "*")); len(names) != 0 || s.used != 0 {
		t.Errorf("a failure leaves %v, %d bytes", names, s.used)
	}
	form.err = nil
	s.Begin(im, "upper")
	settle(s)
	if _, err := s.Take(t.Context(), im, "upper", "W"); err != nil {
		t.Errorf("Take after another try = %v", err)
	}
	if s.Failed(im, "upper") {
		t.Error("a failure outlives the success after it")
	}
}

// One who comes when the work is nearly done waits; one who comes early does not.
func TestWorthWaiting(t *testing.T) {
	now := time.Unix(10_000, 0)
	for _, c := range []struct {
		begun, read int64 // seconds ago, percent
		want        bool
	}{{-1, 0, false}, {10, 0, false}, {10, 10, false}, {10, 70, false}, {10, 76, true}, {10, 100, true}, {1000, 90, false}, {1000, 99, true}} {
		fl := &flight{size: 100}
		if c.begun >= 0 {
			fl.begun.Store(now.Add(-time.Duration(c.begun) * time.Second).UnixNano())
		}
		fl.read.Store(c.read)
		if got := fl.nearEnd(now); got != c.want {
			t.Errorf("%d%% read in %d s: nearEnd = %v, want %v", c.read, c.begun, got, c.want)
		}
	}
	form := newUpper()
	form.gate = make(chan struct{})
	s := open(t, t.TempDir(), 1000, form)
	im := image(t, "hello")
	s.Begin(im, "upper")
	for s.flightOf(im).read.Load() < im.Size {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Take(ctx, im, "upper", "W"); !errors.Is(err, context.Canceled) {
		t.Errorf("Take whose context ends = %v, want context.Canceled", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(form.gate) })
	if _, err := s.Take(t.Context(), im, "upper", "W"); err != nil {
		t.Errorf("Take of what is nearly ready = %v, want it", err)
	}
}

func (s *Service) flightOf(im Image) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, fl := range s.flights {
		if k.hash == im.Hash {
			return fl
		}
	}
	return &flight{}
}

// Close ends what is under way, and leaves nothing of it.
func TestClose(t *testing.T) {
	form := newUpper()
	form.gate = make(chan struct{})
	s := open(t, t.TempDir(), 1000, form)
	s.Begin(image(t, "hello"), "upper")
	s.Begin(image(t, "world"), "upper")
	s.Close()
	if names, _ := filepath.Glob(filepath.Join(s.dir.Path, "*")); len(names) != 0 {
		t.Errorf("files = %v, want none", names)
	}
}
