package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	writeTime = time.Minute            // a client that reads nothing for so long has gone
	drainTime = time.Second            // what a command printed last is still shown
	killGrace = 500 * time.Millisecond // between SIGHUP and SIGKILL
)

// session is one console. Its goroutine is serve; the others end before it.
type session struct {
	order  Order
	line   string
	uri    string
	began  time.Time
	attach time.Duration
	log    *slog.Logger
	ln     *net.TCPListener
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   chan struct{}

	mu       sync.Mutex
	attached bool
	ended    time.Time
	err      error
}

func newSession(ctx context.Context, o Order, line string, cfg Config) (*session, error) {
	ln, uri, err := listen(o, cfg.Host)
	if err != nil {
		return nil, err
	}
	one := &session{
		order: o, line: line, uri: uri, began: time.Now(), attach: cfg.Attach, ln: ln, over: make(chan struct{}),
		log: cfg.Logger.With("console", o.ID, "node", o.Node, "user", o.User),
	}
	one.ctx, one.cancel = context.WithCancelCause(ctx)
	return one, nil
}

func (s *session) view() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := View{
		ID: s.order.ID, User: s.order.User, Node: s.order.Node, URI: s.uri,
		Attached: s.attached, Done: !s.ended.IsZero(), Err: s.err, Elapsed: time.Since(s.began),
	}
	if v.Done {
		v.Elapsed = s.ended.Sub(s.began)
	}
	return v
}

func (s *session) endedBefore(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended.IsZero() && s.ended.Before(t)
}

// serve is the session's life: it waits for its client, and then joins him and the command.
func (s *session) serve() {
	defer close(s.over)
	defer s.cancel(nil)
	defer context.AfterFunc(s.ctx, func() { s.ln.Close() })()
	err := s.run()
	s.ln.Close()
	s.mu.Lock()
	s.ended, s.err, s.attached = time.Now(), err, false
	s.mu.Unlock()
	s.log.Info("console ended", "error", err)
}

func (s *session) run() error {
	conn, err := s.client()
	if conn == nil {
		return err
	}
	defer conn.Close()
	s.mu.Lock()
	s.attached = true
	s.mu.Unlock()
	s.log.Info("console attached", "from", conn.RemoteAddr().String())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.ln.Close()
	wg.Go(s.turnAway)
	return s.join(conn)
}

// client waits for a connection from where one may come; nil if the session ends before.
func (s *session) client() (net.Conn, error) {
	if err := s.ln.SetDeadline(time.Now().Add(s.attach)); err != nil {
		return nil, err
	}
	for {
		conn, err := s.ln.Accept()
		switch {
		case err == nil && s.welcome(conn):
			s.ln.SetDeadline(time.Time{}) // fails only if the session has ended, which join sees
			return conn, nil
		case err == nil:
			conn.Close()
		case s.ctx.Err() != nil:
			return nil, s.why(nil)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("nobody attached to it within %v", s.attach)
		default:
			return nil, err
		}
	}
}

func (s *session) welcome(conn net.Conn) bool {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return false
	}
	address := from.Addr().Unmap().WithZone("")
	if !s.order.From.IsValid() {
		return address.IsLoopback()
	}
	return address == s.order.From.Unmap().WithZone("")
}

// turnAway tells all but the first that they are late.
func (s *session) turnAway() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return // the session has ended
		}
		if s.welcome(conn) {
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			io.WriteString(conn, "[Kaconsole] console already attached\r\n")
		}
		conn.Close()
	}
}

// join runs the command on a terminal and passes on what either side says.
func (s *session) join(conn net.Conn) error {
	master, slave, err := openPty()
	if err != nil {
		return err
	}
	defer master.Close()
	cmd, err := startOn(slave, s.line)
	slave.Close()
	if err != nil {
		io.WriteString(conn, "[Kaconsole] "+err.Error()+"\r\n")
		return err
	}
	exited := make(chan error, 1)
	typed, shown := make(chan struct{}), make(chan struct{})
	go func() { exited <- cmd.Wait() }()
	go func() { defer close(typed); io.Copy(master, conn) }() // ends with the client, or when conn is closed
	go func() { defer close(shown); show(conn, master) }()    // ends with the command, or a client who does not read

	var result error
	select {
	case result = <-exited:
		exited <- result
		wait(shown, drainTime)
	case <-typed:
	case <-shown: // the terminal was closed, or the client reads no more
		select {
		case result = <-exited:
			exited <- result
		case <-time.After(drainTime):
		}
	case <-s.ctx.Done():
		var f *farewell
		if errors.As(context.Cause(s.ctx), &f) && f.message != "" {
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			io.WriteString(conn, "\r\n[Kaconsole] "+f.message+"\r\n")
		}
	}
	end(cmd, exited)
	conn.Close()
	master.Close()
	<-typed
	<-shown
	return s.why(result)
}

// why is the error of the session: none if somebody ended it.
func (s *session) why(result error) error {
	cause := context.Cause(s.ctx)
	var f *farewell
	switch {
	case cause == nil && result != nil:
		return fmt.Errorf("the console command of %s: %w", s.order.Node, result)
	case cause == nil || errors.As(cause, &f):
		return nil
	}
	return errors.New("the coordinator is stopping")
}

// show copies the terminal to the client; one who reads nothing does not hold it for ever.
func show(conn net.Conn, master io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		if n > 0 {
			conn.SetWriteDeadline(time.Now().Add(writeTime))
			if _, werr := conn.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil { // EIO: nobody has the terminal open any more
			return
		}
	}
}

// end ends the command and all that it started: its whole session hangs up, and
// what ignores that is killed.
func end(cmd *exec.Cmd, exited chan error) {
	group := -cmd.Process.Pid
	syscall.Kill(group, syscall.SIGHUP) // ESRCH if nothing is left
	gone := false
	select {
	case <-exited:
		gone = true
	case <-time.After(killGrace):
	}
	syscall.Kill(group, syscall.SIGKILL)
	if !gone {
		<-exited
	}
}

func wait(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}
