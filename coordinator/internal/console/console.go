// Package console lends the consoles of nodes to users: the site's command for a
// node's console runs on a pseudo-terminal, and a TCP port of its own, which only
// the caller's address may use, leads to it. A session ends with its command, its
// client, or when it is told to, and leaves no process behind. The package does
// not decide who may have a console.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
)

// Config is what a Service is made from. Zero values mean the defaults named.
type Config struct {
	Host      string        // at which clients of other hosts reach this one
	Connector string        // replaces DEFAULT_CONNECTOR in commands
	PerUser   int           // sessions of one user at once (16)
	Total     int           // sessions at once (256)
	Attach    time.Duration // a session that nobody attaches to ends (1 min)
	Retention time.Duration // a session that has ended can be asked about for so long (1 h)
	Logger    *slog.Logger
}

// Order asks for a console.
type Order struct {
	ID      string
	User    string
	Node    string
	Cluster *cluster.Cluster
	From    netip.Addr // only from there may it be used; the zero address is this host
}

// View is what users see of a session.
type View struct {
	ID, User, Node string
	URI            string // tcp://HOST:PORT
	Attached, Done bool
	Err            error // why it ended, if that was no ordinary end
	Elapsed        time.Duration
}

// Service keeps the sessions.
type Service struct {
	cfg  Config
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*session
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.PerUser == 0 {
		cfg.PerUser = 16
	}
	if cfg.Total == 0 {
		cfg.Total = 256
	}
	if cfg.Attach == 0 {
		cfg.Attach = time.Minute
	}
	if cfg.Retention == 0 {
		cfg.Retention = time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Service{cfg: cfg, ctx: ctx, stop: stop, sessions: make(map[string]*session)}
}

// Has tells whether the site has a console for a node.
func Has(c *cluster.Cluster, node string) bool { return attachLine(c, node) != "" }

func attachLine(c *cluster.Cluster, node string) string {
	if own := c.Remote.PerNode[node].Console.Line; own != "" {
		return own
	}
	return c.Remote.Console.Line
}

// line is the command for a node's console.
func (s *Service) line(c *cluster.Cluster, node string) (string, error) {
	return s.fill(attachLine(c, node), node)
}

// fill replaces the patterns of a site's command.
func (s *Service) fill(text, node string) (string, error) {
	return cluster.ForNode(strings.ReplaceAll(text, "DEFAULT_CONNECTOR", s.cfg.Connector), node)
}

// Open begins a session. A node has one at most: CONFLICTING_ELEMENTS.
func (s *Service) Open(o Order) (View, error) {
	line, err := s.line(o.Cluster, o.Node)
	if err != nil {
		return View{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if err := s.room(o); err != nil {
		return View{}, err
	}
	one, err := newSession(s.ctx, o, line, s.cfg)
	if err != nil {
		return View{}, apperr.New(apperr.ExecuteError, "console of %s: %w", o.Node, err)
	}
	s.sessions[o.ID] = one
	s.wg.Go(one.serve)
	return one.view(), nil
}

// room checks that there may be one more session. s.mu is held.
func (s *Service) room(o Order) error {
	if s.ctx.Err() != nil {
		return errors.New("the coordinator is stopping")
	}
	users, all := 0, 0
	for _, other := range s.sessions {
		v := other.view()
		if v.Done {
			continue
		}
		if v.Node == o.Node {
			return apperr.New(apperr.ConflictingElements, "user %s has the console of %s: wait until he closes it", v.User, v.Node)
		}
		all++
		if v.User == o.User {
			users++
		}
	}
	if users >= s.cfg.PerUser || all >= s.cfg.Total {
		return apperr.New(apperr.ConflictingElements, "%d consoles are open (%d of yours), and that is the limit: close one", all, users)
	}
	return nil
}

// sweep forgets sessions that ended long ago. s.mu is held.
func (s *Service) sweep() {
	for id, one := range s.sessions {
		if one.endedBefore(time.Now().Add(-s.cfg.Retention)) {
			delete(s.sessions, id)
		}
	}
}

// Console is one session.
func (s *Service) Console(id string) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.sessions[id]
	if !ok {
		return View{}, false
	}
	return one.view(), true
}

// Consoles lists the sessions by node.
func (s *Service) Consoles() []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	var all []View
	for _, one := range s.sessions {
		all = append(all, one.view())
	}
	slices.SortFunc(all, func(a, b View) int { return strings.Compare(a.Node+a.ID, b.Node+b.ID) })
	return all
}

// End ends a session, with a last line for its user if there is something to
// say, and forgets it. It returns when no process of it is left.
func (s *Service) End(id, message string) {
	s.mu.Lock()
	one := s.sessions[id]
	delete(s.sessions, id)
	s.mu.Unlock()
	if one == nil {
		return
	}
	one.cancel(&farewell{message})
	<-one.over
}

// Close ends all sessions, and takes no more.
func (s *Service) Close() {
	s.stop()
	s.wg.Wait()
}

// farewell ends a session on purpose.
type farewell struct{ message string }

func (f *farewell) Error() string { return f.message }

// listen opens the port of a session: on this host only if its user is here.
func listen(o Order, host string) (ln *net.TCPListener, uri string, err error) {
	address := ":0"
	if !o.From.IsValid() || o.From.IsLoopback() {
		address, host = "127.0.0.1:0", "127.0.0.1"
		if o.From.IsLoopback() && o.From.Is6() {
			address, host = "[::1]:0", "::1"
		}
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", err
	}
	ln = listener.(*net.TCPListener)
	port := ln.Addr().(*net.TCPAddr).Port
	return ln, "tcp://" + net.JoinHostPort(host, fmt.Sprint(port)), nil
}
