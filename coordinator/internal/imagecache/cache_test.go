package imagecache

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zeebo/blake3"
	"go.uber.org/goleak"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/depot"
	"kadeploy/kascade"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimMark); dir != "" {
		victim(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(_ context.Context, by User, path string) (*os.File, error) {
	if by.Name == "mallory" {
		return nil, os.ErrPermission
	}
	return os.Open(path)
}

func newCache(t *testing.T, dir string, size int64) *Cache {
	t.Helper()
	c, err := New(Config{Directory: dir, Size: size, Open: open, Stall: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func fetch(t *testing.T, c *Cache, req Request) *Entry {
	t.Helper()
	e, err := c.Fetch(t.Context(), req)
	if err != nil {
		t.Fatalf("Fetch(%s) = %v", req.URI, err)
	}
	return e
}

// wantCode checks an error's application code and text.
func wantCode(t *testing.T, err error, code apperr.Code, text string) {
	t.Helper()
	if got, ok := apperr.Of(err); !ok || got != code || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v (code %v), want code %v and %q", err, got, code, text)
	}
}

// check compares a copy with what it must hold.
func check(t *testing.T, e *Entry, content string) {
	t.Helper()
	src, err := e.Open()
	if err != nil {
		t.Error(err)
		return
	}
	defer src.Close()
	var _ kascade.Source = src
	got, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil || string(got) != content {
		t.Errorf("copy of %d bytes (%v), want %d", len(got), err, len(content))
	}
	sum := blake3.Sum256([]byte(content))
	if e.Hash != hex.EncodeToString(sum[:]) || [32]byte(e.Manifest.Whole) != sum || e.Manifest.Size != int64(len(content)) {
		t.Errorf("hash %s, manifest of %d bytes; want %x of %d", e.Hash, e.Manifest.Size, sum, len(content))
	}
}

func md5Of(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

// noPartialFiles: whatever happened, nothing unaccounted for lies in the directory.
func noPartialFiles(t *testing.T, c *Cache) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	ids, used := map[string]bool{}, int64(0)
	for _, o := range c.objects {
		ids[o.ID] = true
		used += o.Size
	}
	if used != c.used {
		t.Errorf("%d bytes are accounted for, copies have %d", c.used, used)
	}
	entries, err := os.ReadDir(c.dir.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if id, _, _ := strings.Cut(e.Name(), "."); !ids[id] || strings.HasSuffix(e.Name(), depot.PartSuffix) {
			t.Errorf("%s is left in the cache", e.Name())
		}
	}
}

func TestServerFile(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image.tzst")
	content := strings.Repeat("image", 600_000) // three chunks
	write(t, image, content)
	c := newCache(t, dir, 100<<20)
	req := Request{URI: "server://" + image, Kind: "tarball", User: User{Name: "alice"}, Checksum: md5Of(content)}
	first := fetch(t, c, req)
	check(t, first, content)
	if first.Checksum != md5Of(content) {
		t.Errorf("checksum %s", first.Checksum)
	}
	if again := fetch(t, c, req); again.Path != first.Path {
		t.Error("an unchanged file was copied again")
	}
	if m := c.Manifest(first.Hash); m != first.Manifest {
		t.Error("the manifest is not found by its hash")
	}
	if sum, err := c.Checksum(t.Context(), req); err != nil || sum != md5Of(content) {
		t.Errorf("Checksum = %s, %v", sum, err)
	}

	write(t, image, "another image") // while the first is deployed
	check(t, first, content)
	_, err := c.Fetch(t.Context(), req)
	wantCode(t, err, apperr.InvalidFile, "kaenv3 --update-image-checksum")
	if sum, err := c.Checksum(t.Context(), req); err != nil || sum != md5Of("another image") {
		t.Errorf("Checksum = %s, %v", sum, err)
	}
	req.Checksum = ""
	check(t, fetch(t, c, req), "another image")

	req.User.Name = "mallory" // a copy exists, but he may not read the file
	_, err = c.Fetch(t.Context(), req)
	wantCode(t, err, apperr.InvalidFile, "permission denied")
	noPartialFiles(t, c)
}

func TestRefusedRequests(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "12345")
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	c := newCache(t, dir, 1<<20)
	write(t, filepath.Join(dir, "big"), strings.Repeat("x", 1<<20+1))
	for _, tc := range []struct {
		name string
		req  Request
		code apperr.Code
		text string
	}{
		{"unknown scheme", Request{URI: "ftp://h/f"}, apperr.InvalidFile, "ftp://"},
		{"relative server path", Request{URI: "server://f"}, apperr.InvalidFile, "must be absolute"},
		{"no such server file", Request{URI: "server:///nowhere"}, apperr.InvalidFile, "no such file"},
		{"directory", Request{URI: "server://" + dir}, apperr.InvalidFile, "not a regular file"},
		{"too large for its kind", Request{URI: "server://" + dir + "/f", Kind: "postinstall", MaxSize: 4}, apperr.InvalidFile, "has 5 bytes, and may have 4"},
		{"larger than the cache", Request{URI: "server://" + dir + "/big"}, apperr.CacheError, "does not fit the image cache"},
		{"URL without host", Request{URI: "http:///f"}, apperr.InvalidFile, "is not a URL"},
		{"404", Request{URI: web.URL + "/f"}, apperr.InvalidFile, "404 Not Found"},
		{"web server is down", Request{URI: gone.URL + "/f"}, apperr.InvalidFile, "connection refused"},
		{"client file without client", Request{URI: "/home/u/f"}, apperr.InvalidClient, "exports no files"},
		{"strange client", Request{URI: "/f", ClientURL: "gopher://h"}, apperr.InvalidClient, "not the URL of a client"},
		{"client is gone", Request{URI: "local:///f", ClientURL: gone.URL}, apperr.InvalidClient, "connection refused"},
		{"client does not export it", Request{URI: "local:///f", ClientURL: web.URL}, apperr.InvalidFile, "404 Not Found"},
		{"relative client path", Request{URI: "f", ClientURL: web.URL}, apperr.InvalidFile, "must be absolute"},
		{"client socket is gone", Request{URI: "/f", ClientURL: "unix:" + dir + "/none"}, apperr.InvalidClient, "not the URL"},
	} {
		_, err := c.Fetch(t.Context(), tc.req)
		t.Log(err)
		wantCode(t, err, tc.code, tc.text)
		if err == nil {
			t.Errorf("%s: no error", tc.name)
		}
	}
	noPartialFiles(t, c)
}

// site is a web server with one file.
type site struct {
	*httptest.Server
	mu      sync.Mutex
	content string
	tag     string
	gets    atomic.Int32
	serve   func(w http.ResponseWriter, r *http.Request) // instead of the content
}

func newSite(t *testing.T, content, tag string) *site {
	s := &site{content: content, tag: tag}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, tag, serve := s.content, s.tag, s.serve
	s.mu.Unlock()
	if tag != "" {
		w.Header().Set("ETag", tag)
	}
	if r.Method == http.MethodGet {
		s.gets.Add(1)
		if serve != nil {
			serve(w, r)
			return
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	if r.Method == http.MethodGet {
		io.WriteString(w, content)
	}
}

func (s *site) set(content, tag string, serve func(http.ResponseWriter, *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content, s.tag, s.serve = content, tag, serve
}

func TestWebFile(t *testing.T) {
	s := newSite(t, "web image", `"v1"`)
	c := newCache(t, t.TempDir(), 1<<20)
	req := Request{URI: s.URL + "/i", Kind: "tarball", Checksum: "v1"}
	e := fetch(t, c, req)
	check(t, e, "web image")
	fetch(t, c, req)
	if e.Checksum != "v1" || s.gets.Load() != 1 {
		t.Errorf("checksum %q, fetched %d times", e.Checksum, s.gets.Load())
	}
	s.set("newer", `W/"v2"`, nil)
	_, err := c.Fetch(t.Context(), req)
	wantCode(t, err, apperr.InvalidFile, "checksum v1, now v2")
	if sum, err := c.Checksum(t.Context(), req); err != nil || sum != "v2" {
		t.Errorf("Checksum = %s, %v", sum, err)
	}
	req.Checksum = ""
	check(t, fetch(t, c, req), "newer")

	s.set("no tag", "", nil) // nothing tells versions apart: fetched each time
	gets := s.gets.Load()
	check(t, fetch(t, c, req), "no tag")
	s.set("no tag 2", "", nil)
	check(t, fetch(t, c, req), "no tag 2")
	if n := s.gets.Load() - gets; n != 2 {
		t.Errorf("fetched %d times, want 2", n)
	}
	noPartialFiles(t, c)
}

func TestBrokenTransfers(t *testing.T) {
	c := newCache(t, t.TempDir(), 1<<20)
	for name, tc := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request)
		text  string
	}{
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "8")
			io.WriteString(w, "cut")
		}, "was cut off after 3 bytes"},
		"cut, of unknown length": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "12345678")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "was cut off after 8 bytes"},
		"shorter than announced": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "cut") }, "ends after 3 of 8 bytes"},
		"changed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v2"`)
			io.WriteString(w, "12345678")
		}, "was changed while it was fetched"},
		"stalled": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "123")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "nothing came for 200ms"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "nothing came for 200ms"},
		"larger than announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, strings.Repeat("x", 5000))
		}, "may have 100 at most"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "12345678", `"v1"`)
			s.set("12345678", `"v1"`, tc.serve)
			req := Request{URI: s.URL + "/i", Kind: "postinstall", MaxSize: 100}
			code := apperr.InvalidFile
			if name == "endless" {
				req.MaxSize, code = 0, apperr.CacheError
			}
			_, err := c.Fetch(t.Context(), req)
			wantCode(t, err, code, tc.text)
			noPartialFiles(t, c)
		})
	}
}

func TestClientFiles(t *testing.T) {
	var asked atomic.Value
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Path)
		w.Header().Set("ETag", `"1-9-2"`)
		io.WriteString(w, "from home")
	})
	tls := httptest.NewTLSServer(handler) // with a certificate that nobody has signed
	defer tls.Close()
	dir := t.TempDir()
	c := newCache(t, dir, 1<<20)
	for _, uri := range []string{"local:///home/ü/image.tgz", "/home/ü/image.tgz"} {
		for _, base := range []string{tls.URL + "/secret/", tls.URL + "/secret"} {
			e := fetch(t, c, Request{URI: uri, User: User{Name: "me"}, ClientURL: base, Checksum: "1-9-2"})
			check(t, e, "from home")
			want := "/" + base64.URLEncoding.EncodeToString([]byte("/home/ü/image.tgz"))
			if got := asked.Load().(string); !strings.HasSuffix(got, want) {
				t.Errorf("asked for %s, want %s", got, want)
			}
		}
	}
	// Another user's client may say what it likes: the copy of the first is not his.
	mine := fetch(t, c, Request{URI: "/home/ü/image.tgz", User: User{Name: "alice"}, ClientURL: tls.URL})
	other := fetch(t, c, Request{URI: "/home/ü/image.tgz", User: User{Name: "bob"}, ClientURL: tls.URL})
	if mine.Path == other.Path {
		t.Error("two users share the copy of a client's file")
	}
}

func TestLentFiles(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	write(t, image, "from home")
	c := newCache(t, dir, 1<<20)
	c.cfg.Lent = func(loan string, by User, name string) (*os.File, error) {
		if loan != "1" || !by.Local || by.UID != 1000 || name != "/home/alice/image" {
			return nil, errors.New("the client has gone")
		}
		return os.Open(image)
	}
	alice := User{Name: "alice", Local: true, UID: 1000}
	req := Request{URI: "local:///home/alice/image", Kind: "tarball", User: alice, ClientURL: "lent:1"}
	e := fetch(t, c, req)
	check(t, e, "from home")
	info, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if want := fmt.Sprintf("%x-%x-%x", st.Ino, st.Size, st.Mtim.Sec); e.Checksum != want {
		t.Errorf("checksum %s, want what the export server gives as ETag: %s", e.Checksum, want)
	}
	again := fetch(t, c, req)
	if again.Path != e.Path {
		t.Error("the same file was copied twice")
	}
	// As large and as old as before: the kernel's change time tells it.
	write(t, image, "from work")
	if err := os.Chtimes(image, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	check(t, fetch(t, c, req), "from work")

	req.ClientURL = "lent:2"
	_, err = c.Fetch(t.Context(), req)
	wantCode(t, err, apperr.InvalidClient, "the client has gone")
	req.ClientURL, req.Checksum = "lent:1", "1-2-3"
	_, err = c.Fetch(t.Context(), req)
	wantCode(t, err, apperr.InvalidFile, "not the one that was registered")
}

func TestRoom(t *testing.T) {
	dir := t.TempDir()
	c := newCache(t, dir, 3000)
	now := time.Now()
	c.cfg.Now = func() time.Time { now = now.Add(time.Second); return now }
	get := func(name string, priority int) (*Entry, error) {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err != nil {
			write(t, file, name+strings.Repeat("x", 1000-len(name)))
		}
		return c.Fetch(t.Context(), Request{URI: "server://" + file, Kind: "tarball", Priority: priority})
	}
	keep := map[string]*Entry{}
	for name, priority := range map[string]int{"recorded": Recorded} {
		e, err := get(name, priority)
		if err != nil {
			t.Fatal(err)
		}
		keep[name] = e
	}
	must := func(name string, priority int) *Entry {
		t.Helper()
		e, err := get(name, priority)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	has := func(want ...string) {
		t.Helper()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, name := range want {
			found := false
			for _, o := range c.objects {
				found = found || strings.Contains(o.Key, "/"+name+" ")
			}
			if !found {
				t.Errorf("%s is not in the cache", name)
			}
		}
		if len(c.objects) != len(want) {
			t.Errorf("%d copies, want %d", len(c.objects), len(want))
		}
	}
	keep["recorded"].Release()
	must("a", Anonymous).Release()
	must("b", Anonymous).Release()
	must("a", Anonymous).Release() // used again: b is now the oldest
	must("c", Anonymous).Release()
	has("recorded", "a", "c")
	must("d", Kept).Release()
	has("recorded", "c", "d")
	must("e", Kept).Release() // c has the lower priority
	has("recorded", "d", "e")

	held := []*Entry{must("d", Anonymous), must("e", Anonymous), must("recorded", Anonymous)}
	_, err := get("f", Recorded)
	wantCode(t, err, apperr.CacheFull, "in use by other operations")
	has("recorded", "d", "e")
	held[2].Release()
	held[2].Release() // twice does no harm
	f := must("f", Anonymous)
	has("d", "e", "f")
	check(t, f, "f"+strings.Repeat("x", 999))
	noPartialFiles(t, c)
}

func TestConcurrentFetchesShareOne(t *testing.T) {
	s := newSite(t, "shared", `"v1"`)
	started, release := make(chan struct{}, 100), make(chan struct{})
	s.set("shared", `"v1"`, func(w http.ResponseWriter, _ *http.Request) {
		started <- struct{}{}
		<-release
		io.WriteString(w, "shared")
	})
	c, err := New(Config{Directory: t.TempDir(), Size: 1 << 20, Open: open})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	const many = 20
	entries := make([]*Entry, many)
	for i := range many {
		wg.Go(func() { entries[i] = fetch(t, c, Request{URI: s.URL + "/i", Priority: i % 3}) })
	}
	<-started
	for waiting := 0; waiting < many; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		for _, f := range c.flights {
			waiting = f.waiters
		}
		c.mu.Unlock()
	}
	close(release)
	wg.Wait()
	if n := s.gets.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	for _, e := range entries {
		check(t, e, "shared")
	}
	obj := entries[0].obj
	if obj.refs != many || obj.Priority != Recorded {
		t.Errorf("%d references with priority %d, want %d and %d", obj.refs, obj.Priority, many, Recorded)
	}
	for _, e := range entries {
		e.Release()
	}
	if obj.refs != 0 {
		t.Errorf("%d references are left", obj.refs)
	}
}

func TestAbandonedFetch(t *testing.T) {
	s := newSite(t, "slow", `"v1"`)
	var blocked atomic.Bool
	blocked.Store(true)
	started := make(chan struct{}, 10)
	s.set("slow", `"v1"`, func(w http.ResponseWriter, r *http.Request) {
		if blocked.Load() {
			started <- struct{}{}
			<-r.Context().Done()
			return
		}
		io.WriteString(w, "slow")
	})
	c, err := New(Config{Directory: t.TempDir(), Size: 1 << 20, Open: open})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := c.Fetch(ctx, Request{URI: s.URL + "/i", Kind: "tarball"}); failed <- err }()
	<-started
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch = %v", err)
	}
	blocked.Store(false)
	check(t, fetch(t, c, Request{URI: s.URL + "/i"}), "slow") // does not join the one that is ending
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		settled := c.used == 4
		c.mu.Unlock()
		if settled {
			break
		}
	}
	noPartialFiles(t, c)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
