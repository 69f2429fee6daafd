package imagecache

import "errors"

// subdirectory is the cache's own directory in the one that is configured.
const subdirectory = "kadeploy-cache"

// record makes an object durable.
func (c *Cache) record(obj *object) error {
	err := c.dir.PutManifest(obj.ID, obj.manifest)
	// Without a key nobody could find it again: it does not outlive the process.
	if err == nil && obj.Key != "" {
		err = c.dir.PutRecord(obj.ID, obj)
	}
	if err != nil {
		return cacheError(err)
	}
	return nil
}

// recover loads what an earlier process has left complete and removes the rest
// of the directory's files; the room is then made as small as it must be.
func (c *Cache) recover() error {
	err := c.dir.Recover(func(id string) error {
		obj, err := c.load(id)
		if err != nil {
			c.cfg.Logger.Warn("incomplete copy in the image cache is removed", "id", id, "error", err)
			return err
		}
		c.objects[obj.mapKey()] = obj
		c.used += obj.Size
		return nil
	})
	if err != nil {
		return err
	}
	for c.used > c.cfg.Size { // the configuration was made smaller
		if err := c.evict(c.victim()); err != nil {
			return err
		}
	}
	return nil
}

// load reads one copy's record and checks that the rest fits it.
func (c *Cache) load(id string) (*object, error) {
	obj := &object{}
	used, err := c.dir.Record(id, obj)
	if err != nil {
		return nil, err
	}
	if obj.ID != id || obj.Key == "" || c.objects[obj.Key] != nil {
		return nil, errors.New("it is not what its name says, or there twice")
	}
	obj.Used = used
	obj.manifest, err = c.dir.Manifest(id, obj.Size, obj.Hash)
	return obj, err
}
