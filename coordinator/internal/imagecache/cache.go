// Package imagecache owns the coordinator's copies of the files that users
// name: images, pre- and postinstalls, keys (contract 2.1). It fetches them from
// the server itself, from the web or from the client's host, keeps them within
// a bounded directory, and knows the chunk manifest of each. A copy never
// changes: a file that is rewritten while it is deployed harms nobody, and one
// that is rewritten before is fetched anew. That is why files of the server are
// copied too, instead of being read in place for as long as a deployment lasts.
// The package never decides who may read what: it opens the server's files
// through a function that it is given.
package imagecache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/depot"
	"kadeploy/kascade"
)

// Priorities of what is kept: the lower goes first when room is needed.
const (
	Anonymous = iota // of an environment that is deployed once
	Kept
	Recorded // of a registered environment
)

// Config is what a Cache is made from.
type Config struct {
	Directory string // the cache has a subdirectory of its own in it
	Size      int64  // bytes of all copies together
	Writers   int    // files written at once; 10 if 0

	// Open opens a file of the server for reading if the user could read it
	// himself, and refuses otherwise. It must check what it opens, not a name that
	// may stand for something else a moment later.
	Open func(ctx context.Context, by User, path string) (*os.File, error)

	// Lent opens a file that the user's client lends under a name; optional.
	Lent func(loan string, by User, name string) (*os.File, error)

	Transport http.RoundTripper // optional; for http:// and https://
	Stall     time.Duration     // a transfer that brings nothing for so long is given up; 1 min if 0
	Logger    *slog.Logger      // optional
	Now       func() time.Time  // optional
}

const (
	defaultWriters = 10
	defaultStall   = time.Minute
)

// User is on whose behalf a file is fetched.
type User struct {
	Name  string
	Local bool // of this host, with this UID, as the kernel says
	UID   int
}

// Request names a file and says for whom it is fetched.
type Request struct {
	URI       string // server:///p, http(s)://…, local:///p or a bare path on the client
	Kind      string // what it is, for messages: "tarball", "postinstall", "key"
	User      User
	ClientURL string // base URL of the client's export server, or its loan; empty if it has none
	Checksum  string // as registered; empty: not compared
	MaxSize   int64  // bytes; 0: what the cache holds
	Priority  int
}

// Entry is a copy that stays where it is until Release.
type Entry struct {
	Path     string
	Size     int64
	Checksum string // identity of the content (contract 2.1): MD5, or the ETag
	Hash     string // BLAKE3 of the whole, hexadecimal
	Manifest *kascade.Manifest

	cache *Cache
	obj   *object
	once  sync.Once
}

// Release allows the copy to be removed when room is needed.
func (e *Entry) Release() { e.once.Do(func() { e.cache.unref(e.obj) }) }

// Source is an open copy, to be broadcast.
type Source struct {
	*os.File
	size int64
}

// Size is the number of bytes.
func (s *Source) Size() int64 { return s.size }

// Open opens the copy; the caller closes it. It stays readable after Release.
func (e *Entry) Open() (*Source, error) {
	f, err := os.Open(e.Path)
	if err != nil {
		return nil, fmt.Errorf("open the cached copy: %w", err)
	}
	return &Source{f, e.Size}, nil
}

// Cache is the directory of copies. One process uses it at a time.
type Cache struct {
	cfg     Config
	dir     depot.Directory
	writers chan struct{}
	web     *fetcher

	mu      sync.Mutex
	used    int64              // bytes of objects and of reservations
	objects map[string]*object // by key
	flights map[flightKey]*flight
}

// New opens the cache: copies that an earlier process has completed are found
// again, remains of interrupted ones are removed.
func New(cfg Config) (*Cache, error) {
	if cfg.Size <= 0 {
		return nil, fmt.Errorf("image cache: a size of %d bytes holds nothing: set cache.size", cfg.Size)
	}
	if cfg.Open == nil {
		return nil, errors.New("image cache: no way to open the server's files")
	}
	if cfg.Writers <= 0 {
		cfg.Writers = defaultWriters
	}
	if cfg.Stall <= 0 {
		cfg.Stall = defaultStall
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	dir, err := depot.Open(cfg.Directory, subdirectory)
	if err != nil {
		return nil, fmt.Errorf("image cache: %w", err)
	}
	c := &Cache{cfg: cfg, dir: dir, writers: make(chan struct{}, cfg.Writers), web: newFetcher(cfg.Transport, cfg.Stall),
		objects: map[string]*object{}, flights: map[flightKey]*flight{}}
	if err := c.recover(); err != nil {
		return nil, fmt.Errorf("image cache: %w", err)
	}
	return c, nil
}

// Fetch returns a copy of the file as it is now. Errors are apperr's: 3, 5, 21, 22.
func (c *Cache) Fetch(ctx context.Context, req Request) (*Entry, error) {
	src, err := c.source(ctx, req)
	if err != nil {
		return nil, err
	}
	v := src.version()
	if err := errors.Join(tooLarge(req, v.size), outdated(req, v.checksum)); err != nil {
		src.close()
		return nil, firstOf(err)
	}
	obj, err := c.obtain(ctx, req, src)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tooLarge(req, obj.Size), outdated(req, obj.Checksum)); err != nil {
		c.unref(obj)
		return nil, firstOf(err)
	}
	return &Entry{
		Path: c.dir.Data(obj.ID), Size: obj.Size, Checksum: obj.Checksum, Hash: obj.Hash, Manifest: obj.manifest,
		cache: c, obj: obj,
	}, nil
}

// Checksum is what identifies the content of a file now (contract 2.1).
func (c *Cache) Checksum(ctx context.Context, req Request) (string, error) {
	req.Checksum = ""
	src, err := c.source(ctx, req)
	if err != nil {
		return "", err
	}
	defer src.close()
	v := src.version()
	if err := tooLarge(req, v.size); err != nil {
		return "", err
	}
	if v.checksum != "" {
		return v.checksum, nil
	}
	c.mu.Lock()
	obj := c.objects[v.key]
	c.mu.Unlock()
	if obj != nil {
		return obj.Checksum, nil
	}
	return sumOf(ctx, req, src)
}

// Size finds a file without reading it, and tells its size in bytes; -1 if who has it does not tell.
func (c *Cache) Size(ctx context.Context, req Request) (int64, error) {
	src, err := c.source(ctx, req)
	if err != nil {
		return 0, err
	}
	defer src.close()
	return src.version().size, nil
}

// Manifest is that of a copy, by the hash of its content; nil if there is no such copy.
func (c *Cache) Manifest(hash string) *kascade.Manifest {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, obj := range c.objects {
		if obj.Hash == hash {
			return obj.manifest
		}
	}
	return nil
}

// Hold finds a copy again that an earlier process fetched, by its path; ok is false
// if it is there no more.
func (c *Cache) Hold(path string) (e *Entry, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, obj := range c.objects {
		if c.dir.Data(obj.ID) == path {
			obj.refs++
			return &Entry{
				Path: path, Size: obj.Size, Checksum: obj.Checksum, Hash: obj.Hash, Manifest: obj.manifest,
				cache: c, obj: obj,
			}, true
		}
	}
	return nil, false
}

// tooLarge refuses a file that is larger than its kind may be. A size below 0 is not known yet.
func tooLarge(req Request, size int64) error {
	if req.MaxSize > 0 && size > req.MaxSize {
		return apperr.New(apperr.InvalidFile, "the %s file %s has %d bytes, and may have %d at most: make it smaller, or have the site raise its limit (in server.conf, environments.max_…_size)", req.Kind, req.URI, size, req.MaxSize)
	}
	return nil
}

// outdated refuses a file that is not the one that was registered.
func outdated(req Request, checksum string) error {
	if req.Checksum == "" || checksum == "" || bareETag(req.Checksum) == bareETag(checksum) {
		return nil
	}
	return apperr.New(apperr.InvalidFile,
		"the %s file %s is not the one that was registered (checksum %s, now %s): update the environment's checksum with kaenv3 %s, or restore the file",
		req.Kind, req.URI, req.Checksum, checksum, updateOption(req.Kind))
}

func updateOption(kind string) string {
	switch kind {
	case "preinstall":
		return "--update-preinstall-checksum"
	case "postinstall":
		return "--update-postinstalls-checksum"
	}
	return "--update-image-checksum"
}

// firstOf takes one error out of a join, so that its code is found.
func firstOf(err error) error {
	var coded *apperr.Error
	if errors.As(err, &coded) {
		return coded
	}
	return err
}

// Close ends idle connections. Copies stay, for the next process.
func (c *Cache) Close() {
	c.web.client.CloseIdleConnections()
	c.web.export.CloseIdleConnections()
}
