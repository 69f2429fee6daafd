package userfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kadeploy/coordinator/internal/apperr"
)

// shelf is one of 100 bytes, in a directory with a file of the site's.
func shelf(t *testing.T) (*Shelf, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"pxe-loader.0": strings.Repeat("x", 90), temporary + "1": "half"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(dir, 100, 2)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func (s *Shelf) keep(t *testing.T, operation, user, file, text string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Keep(t.Context(), operation, user, file, path, text)
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestShelf(t *testing.T) {
	s, dir := shelf(t)
	forty := strings.Repeat("a", 40)
	for i, step := range []struct {
		do   func() error
		code apperr.Code // 0: none
		want string      // in the directory, beside the site's file
	}{
		{func() error { return s.keep(t, "R-1", "alice", "kernel", forty) }, 0, "pxe-alice--kernel"},
		{func() error { return s.keep(t, "R-2", "alice", "kernel", forty) }, 0, "pxe-alice--kernel"},
		{func() error { return s.keep(t, "R-3", "alice", "kernel", "other") }, apperr.ConflictingElements, "pxe-alice--kernel"},
		{func() error { return s.keep(t, "R-3", "bob", "kernel", forty) }, 0, "pxe-alice--kernel pxe-bob--kernel"},
		{func() error { return s.keep(t, "R-4", "bob", "more", forty) }, apperr.CacheFull, "pxe-alice--kernel pxe-bob--kernel"},
		{func() error { return s.keep(t, "R-4", "bob", "huge", strings.Repeat("a", 101)) }, apperr.CacheError, "pxe-alice--kernel pxe-bob--kernel"},
		{func() error { s.Release("R-1"); return s.keep(t, "R-4", "bob", "more", forty) }, apperr.CacheFull, "pxe-alice--kernel pxe-bob--kernel"},
		{func() error { s.Release("R-2"); return s.keep(t, "R-4", "bob", "more", forty) }, 0, "pxe-bob--kernel pxe-bob--more"},
		{func() error { s.Release("R-3"); return s.keep(t, "R-5", "bob", "kernel", "new") }, 0, "pxe-bob--kernel pxe-bob--more"},
		{func() error { return s.keep(t, "R-5", "bob", "../x", "") }, apperr.InvalidFile, "pxe-bob--kernel pxe-bob--more"},
		{func() error { return s.keep(t, "R-5", "bob--x", "y", "") }, apperr.InvalidFile, "pxe-bob--kernel pxe-bob--more"},
	} {
		err := step.do()
		if code, _ := apperr.Of(err); (err != nil) != (step.code != 0) || code != step.code {
			t.Errorf("step %d: %v, want code %d", i, err, step.code)
		}
		if got := strings.Join(slices.DeleteFunc(strings.Fields(listing(t, dir)), func(n string) bool { return n == "pxe-loader.0" }), " "); got != step.want {
			t.Errorf("step %d: there is %q, want %q", i, got, step.want)
		}
	}
	path := filepath.Join(dir, "pxe-bob--kernel")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode: %v, %v", info, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Errorf("replaced: %q, %v", text, err)
	}
}

// TestOldestGoes: of files that nobody needs the one that came first makes room.
func TestOldestGoes(t *testing.T) {
	s, dir := shelf(t)
	for i, name := range []string{"b", "a", "c"} {
		if err := s.keep(t, "R-1", "u", name, strings.Repeat("x", 30)); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "pxe-u--"+name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	s.Release("R-1")
	if err := s.keep(t, "R-2", "u", "d", strings.Repeat("x", 40)); err != nil {
		t.Fatal(err)
	}
	if got, want := listing(t, dir), "pxe-loader.0 pxe-u--a pxe-u--c pxe-u--d"; got != want {
		t.Errorf("there is %q, want %q", got, want)
	}
}

// TestAtOnce: room is promised once.
func TestAtOnce(t *testing.T) {
	s, dir := shelf(t)
	paths := make([]string, 20)
	for i := range paths {
		paths[i] = filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(paths[i], []byte(strings.Repeat("x", 30)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	kept := 0
	for i, path := range paths {
		wg.Go(func() {
			err := s.Keep(t.Context(), fmt.Sprint("R-", i), "u", fmt.Sprint(i), path, "")
			if code, _ := apperr.Of(err); err != nil && code != apperr.CacheFull {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				kept++
			}
		})
	}
	wg.Wait()
	if n := strings.Count(listing(t, dir), "pxe-u--"); kept != 3 || n != 3 {
		t.Errorf("%d were kept, %d are there; there is room for 3", kept, n)
	}
}
