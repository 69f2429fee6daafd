package bench

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/zeebo/blake3"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/control"
)

// Relay is the process of one node: it joins as the tool's nodes do, and throws its copy away.
func Relay(ctx context.Context, in io.Reader, out, errs io.Writer) error {
	p, o, err := begin(ctx, in, out)
	if err != nil {
		return err
	}
	if o.Relay == nil {
		return errors.New("the first line does not say what this relay is")
	}
	p.say(&event{Up: true})
	g, err := p.next()
	if err != nil {
		return err
	}
	link, err := control.Dial(p.ctx, g.Go, nil, o.Relay.Name)
	if err != nil {
		return err
	}
	if o.Relay.Dead {
		p.say(&event{Joined: true})
		<-p.ctx.Done()
		return nil
	}
	s := newNullSink(o.Relay, func() {
		p.say(&event{Mark: true})
		if o.Relay.Die { // nobody could do it as soon
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	opts := kascade.NodeOptions{Listen: net.JoinHostPort(o.Relay.Listen, "0"), Logger: logger(o.Relay.Log, errs).With("node", o.Relay.Name)}
	err = kascade.Join(p.ctx, link, s, opts)
	p.say(&event{Relay: s.end(err)})
	return nil
}

// child is this process, as seen from itself.
type child struct {
	ctx    context.Context // ends with the standard input
	orders chan order
	out    *json.Encoder
}

// begin reads the first order.
func begin(ctx context.Context, in io.Reader, out io.Writer) (*child, order, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &child{ctx: ctx, orders: make(chan order), out: json.NewEncoder(out)}
	go func() {
		for d := json.NewDecoder(bufio.NewReader(in)); ; {
			var o order
			if err := d.Decode(&o); err != nil {
				cancel(fmt.Errorf("the benchmark is gone: %w", err))
				return
			}
			select {
			case c.orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	o, err := c.next()
	return c, o, err
}

func (c *child) next() (order, error) {
	select {
	case o := <-c.orders:
		return o, nil
	case <-c.ctx.Done():
		return order{}, context.Cause(c.ctx)
	}
}

// say tells the benchmark. A failure means that it is gone, which the standard input tells, too.
func (c *child) say(e *event) { _ = c.out.Encode(e) }

func logger(on bool, to io.Writer) *slog.Logger {
	if !on {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

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
