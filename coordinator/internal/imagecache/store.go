package imagecache

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/depot"
	"kadeploy/kascade"
)

// object is one copy. Its exported fields are what stands on the disk.
type object struct {
	ID       string    `json:"id"`
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	Checksum string    `json:"checksum"`
	Hash     string    `json:"hash"`
	Priority int       `json:"priority"`
	Used     time.Time `json:"-"` // last use; on the disk, the time of the record's file

	manifest *kascade.Manifest
	refs     int
}

// download makes the copy of a version: it reads the source once, and from that
// one pass come the file, the manifest and the checksum. The object that it
// returns has room reserved, and is not in the cache yet.
func (c *Cache) download(ctx context.Context, req Request, src source) (_ *object, err error) {
	select {
	case c.writers <- struct{}{}:
		defer func() { <-c.writers }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v := src.version()
	room := &room{cache: c, req: req, max: req.MaxSize}
	defer func() {
		if err != nil {
			room.giveBack()
		}
	}()
	if v.size > 0 {
		if err := room.need(v.size); err != nil {
			return nil, err
		}
	}
	body, err := src.open(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()

	obj := &object{ID: depot.NewID(), Key: v.key, Checksum: v.checksum, Priority: req.Priority, Used: c.cfg.Now()}
	sum := md5.New()
	read := &counted{r: &watched{ctx, body}, room: room}
	if v.checksum == "" {
		read.sum = sum
	}
	if err := c.write(obj, read); err != nil {
		return nil, unreadable(req, err)
	}
	defer func() {
		if err != nil {
			c.dir.Remove(obj.ID)
		}
	}()
	if v.size >= 0 && obj.Size != v.size {
		return nil, apperr.New(apperr.InvalidFile, "the %s file %s ends after %d of %d bytes", req.Kind, req.URI, obj.Size, v.size)
	}
	if err := src.unchanged(); err != nil {
		return nil, err
	}
	if v.checksum == "" {
		obj.Checksum = hex.EncodeToString(sum.Sum(nil))
	}
	room.settle(obj.Size)
	return obj, c.record(obj)
}

// counted reads a source, keeps room for what comes, and sums it.
type counted struct {
	r    io.Reader
	sum  hash.Hash // nil: not summed
	room *room
	n    int64
}

func (r *counted) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.n += int64(n)
		if roomErr := r.room.need(r.n); roomErr != nil {
			return 0, roomErr
		}
		if r.sum != nil {
			r.sum.Write(p[:n])
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		// As it stands this error would pass for the end of the last block.
		err = fmt.Errorf("the transfer was cut off after %d bytes: %w", r.n, err)
	}
	return n, err
}

// write copies the content into the object's data file, and computes its
// manifest on the way.
func (c *Cache) write(obj *object, from io.Reader) (err error) {
	name := c.dir.Data(obj.ID)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return cacheError(err)
	}
	defer func() {
		if closeErr := f.Close(); closeErr != nil && err == nil {
			err = cacheError(closeErr)
		}
		if err != nil {
			os.Remove(name)
		}
	}()
	disk := &diskWriter{w: f}
	m, err := kascade.NewManifest(io.TeeReader(from, disk), 0)
	if disk.err != nil {
		return cacheError(disk.err)
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return cacheError(err)
	}
	obj.Size, obj.Hash, obj.manifest = m.Size, hex.EncodeToString(m.Whole[:]), m
	return nil
}

// diskWriter keeps the disk's error apart from the source's.
type diskWriter struct {
	w   io.Writer
	err error
}

func (d *diskWriter) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		d.err = err
	}
	return n, err
}

// cacheError is a failure of the cache's own directory.
func cacheError(err error) error {
	if _, coded := apperr.Of(err); coded {
		return err
	}
	return apperr.New(apperr.CacheError, "the image cache cannot be written: %w", err)
}

// room is what a download has reserved.
type room struct {
	cache *Cache
	req   Request
	max   int64 // 0: no limit but the cache's
	has   int64
}

// step is reserved at a time when the size is not known beforehand.
const step = 64 << 20

// need makes sure that n bytes are reserved in all.
func (r *room) need(n int64) error {
	if n <= r.has {
		return nil
	}
	if r.max > 0 && n > r.max {
		return tooLarge(r.req, n)
	}
	if n > r.cache.cfg.Size {
		return apperr.New(apperr.CacheError, "the %s file %s does not fit the image cache: it has %d bytes at least, the cache %d (cache.size)",
			r.req.Kind, r.req.URI, n, r.cache.cfg.Size)
	}
	if r.has > 0 && n-r.has < step { // it grows as it comes
		if wish := min(r.has+step, r.cache.cfg.Size); wish > n && r.cache.reserve(wish-r.has, r.req) == nil {
			r.has = wish
			return nil
		}
	}
	if err := r.cache.reserve(n-r.has, r.req); err != nil {
		return err
	}
	r.has = n
	return nil
}

// settle gives back what was reserved beyond the true size.
func (r *room) settle(size int64) {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.cache.used -= r.has - size
	r.has = size
}

func (r *room) giveBack() { r.settle(0) }

// reserve takes n bytes of the cache, removing what is needed least: lower
// priority first, then the longest unused. A copy in use is never removed.
func (c *Cache) reserve(n int64, req Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.used+n > c.cfg.Size {
		victim := c.victim()
		if victim == nil {
			return apperr.New(apperr.CacheFull, "no room for the %s file %s: %d of %d bytes of the image cache are in use by other operations; try again when they have ended",
				req.Kind, req.URI, c.used, c.cfg.Size)
		}
		if err := c.evict(victim); err != nil {
			return cacheError(err)
		}
	}
	c.used += n
	return nil
}

func (c *Cache) victim() *object {
	var worst *object
	for _, o := range c.objects {
		if o.refs > 0 {
			continue
		}
		if worst == nil || o.Priority < worst.Priority || (o.Priority == worst.Priority && o.Used.Before(worst.Used)) {
			worst = o
		}
	}
	return worst
}

func (c *Cache) evict(o *object) error {
	c.cfg.Logger.Info("copy removed from the image cache", "key", o.Key, "bytes", o.Size)
	delete(c.objects, o.mapKey())
	c.used -= o.Size
	return c.dir.Remove(o.ID)
}

// mapKey is where an object stands in the cache; one of a version without a
// name of its own is found by nobody.
func (o *object) mapKey() string {
	if o.Key == "" {
		return "unique " + o.ID
	}
	return o.Key
}

// admit puts a new object into the cache, referenced for those who wait for it.
// If they have gone, or another flight was faster, it is not needed.
func (c *Cache) admit(obj *object, waiters int) *object {
	if other := c.objects[obj.mapKey()]; other != nil {
		c.used -= obj.Size
		if err := c.dir.Remove(obj.ID); err != nil {
			c.cfg.Logger.Warn("superfluous copy could not be removed", "error", err)
		}
		obj = other
	}
	c.objects[obj.mapKey()] = obj
	c.ref(obj, waiters, obj.Priority)
	return obj
}

func (c *Cache) ref(obj *object, n, priority int) {
	obj.refs += n
	obj.Priority = max(obj.Priority, priority)
	obj.Used = c.cfg.Now()
}

func (c *Cache) raise(obj *object, priority int) {
	if obj == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	obj.Priority = max(obj.Priority, priority)
}

func (c *Cache) unref(obj *object) {
	c.mu.Lock()
	obj.refs--
	obj.Used = c.cfg.Now()
	used, id := obj.Used, obj.ID
	c.mu.Unlock()
	if err := c.dir.Touch(id, used); err != nil {
		c.cfg.Logger.Warn("last use of a copy could not be noted", "error", fmt.Errorf("image cache: %w", err))
	}
}
