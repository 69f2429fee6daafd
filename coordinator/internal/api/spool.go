package api

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"kadeploy/coordinator/internal/stats"
)

const formCSV = "text/csv; charset=utf-8"

// sendRows answers with rows of the log. They are spooled first: how long a client
// takes to read them must not be how long the database is read.
func (s *server) sendRows(c *call, q stats.Query) (err error) {
	sp := &spool{}
	defer func() { err = errors.Join(err, sp.close()) }()
	zw, err := gzip.NewWriterLevel(sp, gzip.BestSpeed)
	if err != nil {
		return err
	}
	cw := csv.NewWriter(zw)
	if err := s.Stats.LogRows(c.ctx, q, cw.Write); err != nil {
		return err
	}
	cw.Flush()
	if err := errors.Join(cw.Error(), zw.Close()); err != nil {
		return fmt.Errorf("spool the rows: %w", err)
	}
	body, err := sp.reader()
	if err != nil {
		return fmt.Errorf("spool the rows: %w", err)
	}
	h := c.w.Header()
	h.Set("Content-Type", formCSV)
	h.Set("Cache-Control", "no-store, no-cache")
	h.Add("Vary", "Accept-Encoding")
	if acceptsGzip(c.r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.FormatInt(sp.size, 10))
	} else if body, err = gzip.NewReader(body); err != nil {
		return fmt.Errorf("spool the rows: %w", err)
	}
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		io.Copy(c.w, body) // a client that left cannot be told so
	}
	return nil
}

// spoolMemory is how much a spool keeps in memory, in bytes; the rest goes to a file.
const spoolMemory = 1 << 20

// spool holds what was written until it is read.
type spool struct {
	size   int64
	memory bytes.Buffer
	file   *os.File // nil while memory has room
}

func (s *spool) Write(p []byte) (n int, err error) {
	if s.file == nil && s.memory.Len()+len(p) > spoolMemory {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	if s.file == nil {
		n, err = s.memory.Write(p)
	} else {
		n, err = s.file.Write(p)
	}
	s.size += int64(n)
	return n, err
}

// spill moves on to a file without a name: it is gone when it is closed.
func (s *spool) spill() (err error) {
	if s.file, err = os.CreateTemp("", "kadeployd-spool-"); err != nil {
		return err
	}
	if err := os.Remove(s.file.Name()); err != nil {
		return err
	}
	_, err = s.memory.WriteTo(s.file)
	return err
}

// reader gives what was written, from its begin.
func (s *spool) reader() (io.Reader, error) {
	if s.file == nil {
		return &s.memory, nil
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return s.file, err
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
