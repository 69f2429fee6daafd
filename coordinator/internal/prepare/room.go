package prepare

import "fmt"

// Declined images take no room; this bounds how many of them are remembered.
const maxObjects = 10_000

// reserve makes room for n more bytes of an object that is being written.
func (s *Service) reserve(obj *object, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.shrink(n); err != nil {
		return err
	}
	obj.Size += n
	s.used += n
	return nil
}

// shrink removes what was not used for longest until n more bytes fit. What is held stays.
func (s *Service) shrink(n int64) error {
	for s.used+n > s.cfg.Size || len(s.objects) > maxObjects {
		obj := s.victim()
		if obj == nil {
			return fmt.Errorf("prepared images take %d bytes already, and may take %d: set a larger environments.prepared_size", s.used, s.cfg.Size)
		}
		delete(s.objects, obj.key())
		s.used -= obj.Size
		if err := s.dir.Remove(obj.ID); err != nil {
			return err
		}
		s.cfg.Logger.Info("prepared image is removed to make room", "form", obj.Form, "image", obj.Image)
	}
	return nil
}

func (s *Service) victim() (oldest *object) {
	for _, obj := range s.objects {
		if obj.refs == 0 && (oldest == nil || obj.Used.Before(oldest.Used)) {
			oldest = obj
		}
	}
	return oldest
}

// discard takes back an object that will not be.
func (s *Service) discard(obj *object) {
	s.discardData(obj)
	if err := s.dir.Remove(obj.ID); err != nil {
		s.cfg.Logger.Warn("remains of a prepared image cannot be removed", "error", err)
	}
}

// discardData removes what was written, and gives its room back.
func (s *Service) discardData(obj *object) {
	s.mu.Lock()
	s.used -= obj.Size
	obj.Size = 0
	s.mu.Unlock()
	obj.Hash, obj.manifest = "", nil
	if err := s.dir.RemoveData(obj.ID); err != nil {
		s.cfg.Logger.Warn("remains of a prepared image cannot be removed", "error", err)
	}
}

// touch notes that an object was used now, for the next process too.
func (s *Service) touch(obj *object) {
	obj.Used = s.cfg.Now()
	if err := s.dir.Touch(obj.ID, obj.Used); err != nil {
		s.cfg.Logger.Warn("last use of a prepared image could not be noted", "error", err)
	}
}
