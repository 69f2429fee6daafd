package imagecache

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"

	"kadeploy/coordinator/internal/apperr"
)

// version identifies the content of a file without reading it.
type version struct {
	key      string // where the file is and which version of it that is
	size     int64  // -1: not known
	checksum string // contract 2.1; empty: the MD5, once the content was read
}

// source is one file, found and ready to be read once.
type source interface {
	version() version
	open(ctx context.Context) (io.ReadCloser, error)
	unchanged() error // after reading: what was read is the version that was found
	close()
}

// source finds the file that a request names.
func (c *Cache) source(ctx context.Context, req Request) (source, error) {
	scheme, rest, found := strings.Cut(req.URI, "://")
	if !found {
		scheme, rest = "local", req.URI
	}
	switch scheme {
	case "server":
		return c.openServerFile(ctx, req, rest)
	case "http", "https":
		if u, err := url.Parse(req.URI); err != nil || u.Host == "" {
			return nil, apperr.New(apperr.InvalidFile, "%q is not a URL that can be fetched", req.URI)
		}
		return c.web.head(ctx, c.web.client, req.URI, "web "+req.URI)
	case "local":
		return c.openClientFile(ctx, req, rest)
	}
	return nil, apperr.New(apperr.InvalidFile, "%s: files of the kind %s:// cannot be fetched; use server://, http://, https:// or local://", req.URI, scheme)
}

// serverFile is a file of the coordinator's host, opened in the user's name.
type serverFile struct {
	*os.File
	info os.FileInfo
	req  Request
}

func (c *Cache) openServerFile(ctx context.Context, req Request, name string) (source, error) {
	if !path.IsAbs(name) {
		return nil, apperr.New(apperr.InvalidFile, "%s: the path of a file on the server must be absolute: server:///directory/file", req.URI)
	}
	f, err := c.cfg.Open(ctx, req.User, path.Clean(name))
	if err != nil {
		return nil, apperr.New(apperr.InvalidFile, "the %s file %s cannot be read: %w", req.Kind, req.URI, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, apperr.New(apperr.InvalidFile, "the %s file %s cannot be read: %w", req.Kind, req.URI, err)
	}
	return &serverFile{f, info, req}, nil
}

func (s *serverFile) version() version {
	return version{key: "server " + s.Name() + " " + fileID(s.info), size: s.info.Size()}
}

// fileID changes with every change of the content: the change time cannot be set back.
func fileID(info os.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
	}
	return fmt.Sprintf("%d %d %d %d %d", st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
}

func (s *serverFile) open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.File, 0, 1<<62)), nil
}

func (s *serverFile) unchanged() error {
	now, err := s.Stat()
	if err == nil && fileID(now) != fileID(s.info) {
		err = fmt.Errorf("it was changed while it was read: try again when it is complete")
	}
	if err != nil {
		return apperr.New(apperr.InvalidFile, "the %s file %s: %w", s.req.Kind, s.req.URI, err)
	}
	return nil
}

func (s *serverFile) close() { s.File.Close() }

// sumOf reads a file for its MD5 only.
func sumOf(ctx context.Context, req Request, src source) (string, error) {
	r, err := src.open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := md5.New()
	if _, err := io.Copy(h, &watched{ctx: ctx, r: r}); err != nil {
		return "", unreadable(req, err)
	}
	return hex.EncodeToString(h.Sum(nil)), src.unchanged()
}

// unreadable is the error of a file that was found and then could not be read to its end.
func unreadable(req Request, err error) error {
	if _, coded := apperr.Of(err); coded {
		return firstOf(err)
	}
	return apperr.New(apperr.InvalidFile, "the %s file %s cannot be read: %w", req.Kind, req.URI, err)
}

// watched stops reading when ctx ends.
type watched struct {
	ctx context.Context
	r   io.Reader
}

func (w *watched) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.r.Read(p)
}
