package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/store"
)

// journal is the store's, which also writes the log of operations, and beside it
// the site's log file.
type journal struct {
	*store.Journal
	file string // CSV; "": none
	log  *slog.Logger

	mu sync.Mutex
}

// newJournal fails if the log file cannot be written.
func newJournal(s *store.Store, logs config.Logs, log *slog.Logger) (*journal, error) {
	j := &journal{Journal: s.Journal(), file: logs.LogFile, log: log}
	j.NoLog = !logs.Database
	if err := j.write(nil); err != nil {
		return nil, fmt.Errorf("logs.logfile: %w", err)
	}
	return j, nil
}

func (j *journal) End(ctx context.Context, id string, kept *stats.Record) error {
	if err := j.Journal.End(ctx, id, kept); err != nil {
		return err
	}
	if kept == nil {
		return nil
	}
	if err := j.write(kept.Rows); err != nil {
		j.log.Error("write the log file", "workflow", id, "error", err)
	}
	return nil
}

// write appends rows. The file is opened each time: who rotates it need not tell us.
func (j *journal) write(rows []stats.Row) error {
	if j.file == "" {
		return nil
	}
	var text bytes.Buffer
	lines := csv.NewWriter(&text)
	for i := range rows {
		lines.Write(rows[i].LogLine()) // into memory: cannot fail
	}
	lines.Flush()
	j.mu.Lock()
	defer j.mu.Unlock()
	f, err := os.OpenFile(j.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes()) // at once, so that lines stay whole
	return errors.Join(err, f.Close())
}
