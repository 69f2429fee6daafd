package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
)

// generic are the options of every command.
type generic struct {
	app      *App
	server   string
	several  bool // ask all servers
	trace    bool
	dryRun   bool
	password string
	version  bool
	info     bool
	json     bool

	actor string // who the server takes us for, known after connect
}

func (g *generic) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	if fs.Lookup("json") == nil {
		fs.BoolVar(&g.json, "json", false, "print one JSON object per line")
	}
	fs.StringVarP(&g.server, "server", "S", "", "talk to the server that client.conf lists under this `NAME`")
	fs.BoolVarP(&g.several, "multi-server", "M", false, "talk to all servers of client.conf, each about its own nodes")
	fs.BoolVarP(&g.trace, "debug-http", "H", false, "show the HTTP traffic (on file descriptor 4 if it is open)")
	fs.BoolVar(&g.dryRun, "dry-run", false, "let the server check everything, and do nothing")
	optional(cmd, &g.password, "password", "", "PASSWORD", "-", "authenticate with this password; without one it is asked for")
	fs.BoolVarP(&g.version, "version", "v", false, "print the version of the server and stop")
	fs.BoolVarP(&g.info, "server-info", "I", false, "print how the server is configured and stop")
	fs.BoolP("help", "h", false, "print this help and stop")
	cmd.SetFlagErrorFunc(hint)
	g.completeArguments(cmd)
}

// optional defines an option whose argument may be left out; it is otherwise then.
func optional(cmd *cobra.Command, p *string, name, short, kind, otherwise, usage string) {
	fs := cmd.Flags()
	fs.VarP(&optionalValue{p, kind}, name, short, usage)
	fs.Lookup(name).NoOptDefVal = otherwise
}

type optionalValue struct {
	value *string
	kind  string
}

func (v *optionalValue) String() string {
	if v.value == nil {
		return ""
	}
	return *v.value
}
func (v *optionalValue) Set(s string) error { *v.value = s; return nil }
func (v *optionalValue) Type() string       { return v.kind }

// asked does what --version and --server-info ask for, and tells whether they did.
func (g *generic) asked(ctx context.Context) (bool, error) {
	if !g.version && !g.info {
		return false, nil
	}
	if own := g.app.Getenv("KADEPLOY3_VERSION"); g.version && own != "" {
		_, err := fmt.Fprintln(g.app.Stdout, own)
		return true, err
	}
	return true, g.each(ctx, func(ctx context.Context, s *session) error {
		if g.info {
			return printServerInfo(ctx, s, g.json)
		}
		return g.printVersion(s)
	})
}

func (g *generic) printVersion(s *session) (err error) {
	switch {
	case g.json:
		err = json.NewEncoder(s.app.Stdout).Encode(struct {
			Server  string `json:"server"`
			Version string `json:"version"`
		}{s.Server().Name, s.version})
	case g.several:
		_, err = fmt.Fprintf(s.app.Stdout, "(%s) Kadeploy version: %s\n", cmp.Or(s.Server().Hostname, s.Server().Name), s.version)
	default:
		_, err = fmt.Fprintf(s.app.Stdout, "Kadeploy version: %s\n", s.version)
	}
	return err
}

// notes is where remarks go that people read: where the rest of the text goes, but
// not among objects.
func (g *generic) notes(app *App) io.Writer {
	if g.json {
		return app.Stderr
	}
	return app.Stdout
}

// configuration reads client.conf, and tells of what is odd in it.
func (g *generic) configuration() (*client.Config, client.Places, error) {
	places := client.PlacesFromEnv(g.app.Getenv)
	cfg, err := client.LoadConfig(places.ConfigDir)
	if err != nil {
		return nil, places, err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(g.app.Stderr, w)
	}
	return cfg, places, nil
}

// session reaches the one server that is chosen.
func (g *generic) session(ctx context.Context) (*session, error) {
	cfg, places, err := g.configuration()
	if err != nil {
		return nil, err
	}
	server, err := cfg.Choose(g.server, places.Socket)
	if err != nil {
		return nil, err
	}
	if err := g.askPassword(); err != nil {
		return nil, err
	}
	return g.open(ctx, server, cfg.Default, g.app)
}

// askPassword asks for the password, if one is wanted, and only once.
func (g *generic) askPassword() (err error) {
	if g.password == "-" {
		if g.password, err = g.app.Password(); err != nil {
			return fmt.Errorf("ask for the password: %w", err)
		}
	}
	return nil
}

// open reaches a server; what is told about it goes by way of app.
func (g *generic) open(ctx context.Context, server client.Server, usual string, app *App) (*session, error) {
	s := &session{app: app, notes: g.notes(app), actor: g.app.User, usual: usual == "" || server.Name == usual}
	if server.Socket != "" {
		s.actor = g.app.Login // the kernel tells the server, $USER does not
		s.usual = true        // files of this host are the server's host's
	}
	g.actor = s.actor
	opts := client.Options{User: s.actor, Password: g.password}
	if g.trace {
		stdout := app.Stdout
		opts.Trace = cmp.Or(app.Trace, stdout)
	}
	s.Client = client.New(server, opts)
	var err error
	if s.version, err = s.Connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
