package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"kadeploy/coordinator/internal/client"
)

// session is one server that a command talks to.
type session struct {
	*client.Client
	app     *App // where it is written what concerns this server
	notes   io.Writer
	actor   string // who the server takes us for
	version string
	usual   bool // it is the default server
}

// sessions are the servers to talk to: the chosen one, or all that can be reached.
func (g *generic) sessions(ctx context.Context) ([]*session, error) {
	if g.several {
		return g.everywhere(ctx)
	}
	s, err := g.session(ctx)
	if err != nil {
		return nil, err
	}
	return []*session{s}, nil
}

// everywhere reaches all servers of client.conf at once. Those that cannot be
// reached are told and left out.
func (g *generic) everywhere(ctx context.Context) ([]*session, error) {
	if g.server != "" {
		return nil, mistake("-M talks to all servers, -S to one: give one of them")
	}
	cfg, places, err := g.configuration()
	if err != nil {
		return nil, err
	}
	if len(cfg.Servers) == 0 {
		return nil, mistakef("-M needs the servers that client.conf lists, and there is none in %s", places.ConfigDir)
	}
	if err := g.askPassword(); err != nil {
		return nil, err
	}
	one := new(sync.Mutex)
	found := make([]*session, len(cfg.Servers))
	problems := make([]error, len(cfg.Servers))
	var all sync.WaitGroup
	for i, server := range cfg.Servers {
		app := g.app.prefixed(server.Name, one)
		if g.json { // objects have no name before them
			app.Stdout = &prefixWriter{w: g.app.Stdout, one: one}
		}
		own := *g // open notes the actor
		all.Go(func() {
			found[i], problems[i] = own.open(ctx, server, cfg.Default, app)
			if problems[i] != nil {
				fmt.Fprintln(app.Stderr, problems[i])
			}
		})
	}
	all.Wait()
	var reached []*session
	for _, s := range found {
		if s != nil {
			reached = append(reached, s)
		}
	}
	if len(reached) == 0 {
		return nil, &exitError{status: client.ExitStatus(problems[0])} // each was told
	}
	return reached, nil
}

func closeAll(all []*session) {
	for _, s := range all {
		s.Close()
	}
}

// each does something at the chosen server, or at all of them in turn. Then what
// fails at one is told, and the others go on.
func (g *generic) each(ctx context.Context, do func(ctx context.Context, s *session) error) error {
	all, err := g.sessions(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	if !g.several {
		return do(ctx, all[0])
	}
	status := 0
	for _, s := range all {
		if err := do(ctx, s); err != nil {
			status = max(status, s.tell(ctx, err))
		}
	}
	if status != 0 {
		return &exitError{status: status}
	}
	return nil
}

// tell writes an error of one server of several, and gives the exit status it stands for.
func (s *session) tell(ctx context.Context, err error) int {
	status, err := exitOf(ctx, err)
	if err != nil {
		fmt.Fprintln(s.app.Stderr, err)
	}
	return status
}

// prefixed is the program with the server's name before each line that it writes.
func (a *App) prefixed(server string, one *sync.Mutex) *App {
	prefix := fmt.Sprintf("%-10s", "["+server+"] ")
	under := func(w io.Writer) io.Writer {
		if w == nil {
			return nil
		}
		return &prefixWriter{w: w, prefix: prefix, one: one}
	}
	p := *a
	p.Stdout, p.Stderr, p.Debug, p.Trace = under(a.Stdout), under(a.Stderr), under(a.Debug), under(a.Trace)
	p.Terminal = nil // a live view of several operations would be a mess
	return &p
}

// errNoServer is what is said of nodes that no server has.
func errNoServer(nodes []string) error {
	return mistakef("The nodes %s do not belong to any server", fold(nodes))
}

// exitOf is the exit status that an error stands for, and what is still to be said of it.
func exitOf(ctx context.Context, err error) (int, error) {
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		return exit.status, exit.err
	case ctx.Err() != nil:
		return 1, errors.New("SIGINT trapped")
	}
	if code, ok := descriptionCode(err); ok {
		return code, err
	}
	return client.ExitStatus(err), err
}
