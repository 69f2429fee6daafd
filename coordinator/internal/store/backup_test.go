package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

func TestBackup(t *testing.T) {
	s := open(t)
	if _, err := s.writer.Exec("INSERT INTO rights VALUES ('a', 'b', 'c')"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, "it's a copy")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy can be read by others: %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("beside the copy there are %v, %v", files, err)
	}
	if n := count(t, openAt(t, copied), "rights"); n != 1 {
		t.Errorf("the copy has %d rows, want 1", n)
	}
}

func TestBackupRefuses(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	for name, content := range map[string]string{"empty": "", "full": "precious"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join(dir, "empty"), filepath.Join(dir, "full"), link, s.path} {
		before, _ := os.ReadFile(file)
		if err := s.Backup(t.Context(), file); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Backup to %s, which exists: %v", file, err)
		}
		if after, _ := os.ReadFile(file); string(after) != string(before) {
			t.Errorf("Backup changed %s", file)
		}
	}
	for _, path := range []string{filepath.Join(dir, "nothing"), dir} {
		if err := Backup(t.Context(), path, filepath.Join(dir, "copy")); err == nil {
			t.Errorf("Backup made a copy of %s", path)
		}
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "no", "such", "directory")); err == nil {
		t.Error("Backup wrote into a directory that does not exist")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*part*"))
	if err != nil || len(left) > 0 {
		t.Errorf("parts are left: %v, %v", left, err)
	}
}

// A copy that is made while workflows end has each of them whole, or not at all, and
// all that ended before.
func TestBackupWhileWriting(t *testing.T) {
	s := open(t)
	j := s.Journal()
	var ended atomic.Int64
	stop := make(chan struct{})
	var all errgroup.Group
	all.Go(func() error {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return nil
			default:
			}
			id := fmt.Sprintf("D-%d", i)
			if err := j.Begin(t.Context(), &workflow.Request{ID: id}); err != nil {
				return err
			}
			rows := []stats.Row{logged(id, "n1", i, nil), logged(id, "n2", i, nil)}
			if err := j.End(t.Context(), id, &stats.Record{Rows: rows}); err != nil {
				return err
			}
			ended.Add(1)
		}
	})
	dir := t.TempDir()
	for i := range 5 {
		before := int(ended.Load())
		file := filepath.Join(dir, fmt.Sprint(i))
		// As another process does it.
		if err := Backup(t.Context(), s.path, file); err != nil {
			t.Fatal(err)
		}
		after := int(ended.Load())
		c := openAt(t, file)
		var rows, done int
		if err := c.writer.QueryRow("SELECT count(*) FROM log").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if err := c.writer.QueryRow("SELECT count(*) FROM journal_workflows WHERE ended IS NOT NULL").Scan(&done); err != nil {
			t.Fatal(err)
		}
		if rows != 2*done || done < before || done > after+1 {
			t.Errorf("copy %d has %d rows of %d workflows; %d had ended before it, %d after", i, rows, done, before, after)
		}
		var sound string
		if err := c.writer.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
			t.Errorf("integrity: %s, %v", sound, err)
		}
	}
	close(stop)
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if ended.Load() == 0 {
		t.Error("nothing was written meanwhile")
	}
}
