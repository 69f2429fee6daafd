package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"time"

	"github.com/zeebo/blake3"
)

// nullSink throws away what it gets. It counts, and hashes and slows down when told.
type nullSink struct {
	order  *relayOrder
	mark   func()
	marked bool
	hash   *blake3.Hasher
	begin  time.Time
	result relayEnd
	gone   chan struct{}
}

func newNullSink(o *relayOrder, mark func()) *nullSink {
	s := &nullSink{order: o, mark: mark, gone: make(chan struct{})}
	if o.Check {
		s.hash = blake3.New()
	}
	return s
}

func (s *nullSink) Write(b []byte) (int, error) {
	if s.result.Bytes == 0 {
		s.begin = time.Now()
		s.result.First = s.begin.UnixNano()
	}
	if s.hash != nil {
		s.hash.Write(b)
	}
	s.result.Bytes += int64(len(b))
	if !s.marked && s.result.Bytes >= s.order.Mark {
		s.marked = true
		s.result.Marked = time.Now().UnixNano()
		s.mark()
	}
	if s.order.Rate > 0 {
		due := s.begin.Add(time.Duration(float64(s.result.Bytes) / float64(s.order.Rate) * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-s.gone:
			return 0, errors.New("aborted")
		}
	}
	return len(b), nil
}

func (s *nullSink) Commit(context.Context) error {
	s.result.Last = time.Now().UnixNano()
	return nil
}

func (s *nullSink) Abort(error) { close(s.gone) }

// end is what happened, once Join has returned.
func (s *nullSink) end(err error) *relayEnd {
	if err != nil {
		s.result.Error = err.Error()
	}
	if s.hash != nil {
		s.result.Digest = hex.EncodeToString(s.hash.Sum(nil))
	}
	s.result.Memory = peakMemory(os.Getpid())
	return &s.result
}
