package imagecache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/depot"
)

func TestCopiesOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, "kept", `"v1"`)
	e := fetch(t, newCache(t, dir, 1<<20), Request{URI: s.URL + "/i", Priority: Recorded})
	e.Release()
	c := newCache(t, dir, 1<<20)
	again := fetch(t, c, Request{URI: s.URL + "/i"})
	check(t, again, "kept")
	if s.gets.Load() != 1 || again.Checksum != "v1" || again.obj.Priority != Recorded {
		t.Errorf("fetched %d times; checksum %q, priority %d", s.gets.Load(), again.Checksum, again.obj.Priority)
	}
	noPartialFiles(t, c)
	if small := newCache(t, dir, 3); small.used != 0 {
		t.Errorf("a smaller cache keeps %d bytes", small.used)
	}
}

// TestDamage: whatever is wrong on the disk, the cache starts, and does not serve it.
func TestDamage(t *testing.T) {
	s := newSite(t, "good", `"v1"`)
	for name, damage := range map[string]func(e *Entry) error{
		"no record":          func(e *Entry) error { return os.Remove(sibling(e, depot.RecordSuffix)) },
		"no manifest":        func(e *Entry) error { return os.Remove(sibling(e, depot.ManifestSuffix)) },
		"no data":            func(e *Entry) error { return os.Remove(e.Path) },
		"truncated data":     func(e *Entry) error { return os.Truncate(e.Path, 2) },
		"truncated record":   func(e *Entry) error { return os.Truncate(sibling(e, depot.RecordSuffix), 9) },
		"truncated manifest": func(e *Entry) error { return os.Truncate(sibling(e, depot.ManifestSuffix), 9) },
		"record of another": func(e *Entry) error {
			return os.Rename(sibling(e, depot.RecordSuffix), filepath.Join(filepath.Dir(e.Path), depot.NewID()+depot.RecordSuffix))
		},
		"remains": func(e *Entry) error {
			return os.WriteFile(filepath.Join(filepath.Dir(e.Path), depot.NewID()+depot.DataSuffix), []byte("x"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := fetch(t, newCache(t, dir, 1<<20), Request{URI: s.URL + "/i"})
			if err := damage(e); err != nil {
				t.Fatal(err)
			}
			c := newCache(t, dir, 1<<20)
			noPartialFiles(t, c)
			check(t, fetch(t, c, Request{URI: s.URL + "/i"}), "good")
		})
	}
}

func sibling(e *Entry, suffix string) string {
	return strings.TrimSuffix(e.Path, depot.DataSuffix) + suffix
}

func TestDirectoryMustBeOurs(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"open to others": func(d string) error { return os.Chmod(d, 0o755) },
		"a link":         func(d string) error { return os.Remove(d) },
	} {
		dir := t.TempDir()
		own := filepath.Join(dir, subdirectory)
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := make(own); err != nil {
			t.Fatal(err)
		}
		if name == "a link" {
			if err := os.Symlink("/", own); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(Config{Directory: dir, Size: 1, Open: open}); err == nil || !strings.Contains(err.Error(), "only this user may enter") {
			t.Errorf("%s: New = %v", name, err)
		}
	}
}

const victimMark = "KADEPLOY_IMAGECACHE_TEST_VICTIM"

// victim is a process that fetches files until it is killed.
func victim(dir string) {
	c, err := New(Config{Directory: dir, Size: 64 << 20, Open: open})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	for i := 0; ; i++ {
		e, err := c.Fetch(context.Background(), Request{URI: fmt.Sprintf("%s/%d", os.Getenv("KADEPLOY_IMAGECACHE_TEST_URL"), i%40)})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		e.Release()
	}
}

// TestKill: killed at any moment, the cache is found consistent, and what is in it is whole.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	content := func(path string) string { return strings.Repeat(path, 3<<20/len(path)) }
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(content(r.URL.Path))))
		if r.Method == http.MethodGet {
			io.WriteString(w, content(r.URL.Path))
		}
	}))
	defer web.Close()
	runtime.LockOSThread() // Pdeathsig follows the thread
	defer runtime.UnlockOSThread()
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victimMark+"="+dir, "KADEPLOY_IMAGECACHE_TEST_URL="+web.URL)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 200)
		n, _ := out.Read(line)
		time.Sleep(time.Duration(20+31*round) * time.Millisecond) // somewhere in its work
		cmd.Process.Kill()
		rest, _ := io.ReadAll(out)
		cmd.Wait()
		if got := string(line[:n]) + string(rest); got != "ready\n" {
			t.Fatalf("the process said %q", got)
		}
		c := newCache(t, dir, 64<<20)
		noPartialFiles(t, c)
		for _, o := range c.objects {
			path := strings.TrimSuffix(strings.TrimPrefix(o.Key, "web "+web.URL), " v1")
			if i := strings.LastIndex(path, "/"); i > 0 { // the port differs between runs of the test only
				path = path[i:]
			}
			got, err := os.ReadFile(c.dir.Data(o.ID))
			if err != nil || string(got) != content(path) {
				t.Errorf("round %d: the copy of %s is damaged (%v)", round, path, err)
			}
		}
		t.Logf("round %d: %d copies", round, len(c.objects))
	}
}

func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := newSite(t, strings.Repeat("x", 2<<20), `"v1"`)
	c := newCache(t, dir, 64<<20)
	_, err := c.Fetch(t.Context(), Request{URI: s.URL + "/i"})
	wantCode(t, err, apperr.CacheError, "no space left on device")
	noPartialFiles(t, c)
}
