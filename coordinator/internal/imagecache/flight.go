package imagecache

import (
	"context"
	"fmt"

	"kadeploy/coordinator/internal/depot"
)

// flightKey tells which requests can share one fetch: those for the same
// version, with the same limit. A version without a key is shared by none.
type flightKey struct {
	key string
	max int64
}

// flight is one fetch under way and those who wait for it. It goes on as long
// as anybody waits. Its fields are guarded by the cache's lock until done is closed.
type flight struct {
	done    chan struct{}
	waiters int
	cancel  context.CancelFunc
	landed  bool
	obj     *object // referenced once for each waiter
	err     error
}

// obtain returns the copy of a version, referenced, fetching it if there is
// none. It closes src, or has it closed.
func (c *Cache) obtain(ctx context.Context, req Request, src source) (*object, error) {
	v := src.version()
	fk := flightKey{v.key, req.MaxSize}
	if v.key == "" {
		fk.key = "unique " + depot.NewID()
	}
	c.mu.Lock()
	if obj := c.objects[v.key]; obj != nil && v.key != "" {
		c.ref(obj, 1, req.Priority)
		c.mu.Unlock()
		src.close()
		return obj, nil
	}
	f := c.flights[fk]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flights[fk] = f
		var flying context.Context
		flying, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		go func() {
			defer f.cancel()
			defer src.close()
			obj, err := c.download(flying, req, src)
			c.land(fk, f, obj, err)
		}()
	} else {
		defer src.close()
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
		c.raise(f.obj, req.Priority)
		return f.obj, f.err
	case <-ctx.Done():
		c.leave(fk, f)
		return nil, fmt.Errorf("fetch the %s file %s: %w", req.Kind, req.URI, context.Cause(ctx))
	}
}

// land hands the result of a flight to those who wait.
func (c *Cache) land(fk flightKey, f *flight, obj *object, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[fk] == f {
		delete(c.flights, fk)
	}
	if obj != nil {
		obj = c.admit(obj, f.waiters)
	}
	f.obj, f.err, f.landed = obj, err, true
	close(f.done)
}

// leave is for one who waits no longer. The last one ends the flight, and
// nobody can join it any more.
func (c *Cache) leave(fk flightKey, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.landed {
		if f.obj != nil {
			f.obj.refs--
		}
		return
	}
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if c.flights[fk] == f {
			delete(c.flights, fk)
		}
	}
}
