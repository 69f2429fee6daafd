package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
)

// generic are the options of every command (contract 1.1).
type generic struct {
	app      *App
	server   string
	trace    bool
	dryRun   bool
	password string
	version  bool
	info     bool

	actor string // who the server takes us for, known after connect
}

func (g *generic) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&g.server, "server", "S", "", "talk to the server that client.conf lists under this `NAME`")
	fs.BoolVarP(&g.trace, "debug-http", "H", false, "show the HTTP traffic (on file descriptor 4 if it is open)")
	fs.BoolVar(&g.dryRun, "dry-run", false, "let the server check everything, and do nothing")
	optional(cmd, &g.password, "password", "", "PASSWORD", "-", "authenticate with this password (-: ask for it)")
	fs.BoolVarP(&g.version, "version", "v", false, "print the version of the server and stop")
	fs.BoolVarP(&g.info, "server-info", "I", false, "print how the server is configured and stop")
	fs.BoolP("help", "h", false, "print this help and stop")
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
		fmt.Fprintf(g.app.Stdout, "Kadeploy version: %s\n", own)
		return true, nil
	}
	c, version, err := g.reach(ctx)
	if err != nil {
		return true, err
	}
	defer c.Close()
	if g.version {
		fmt.Fprintf(g.app.Stdout, "Kadeploy version: %s\n", version)
		return true, nil
	}
	return true, printServerInfo(ctx, g.app.Stdout, c)
}

// connect reaches the chosen server.
func (g *generic) connect(ctx context.Context) (*client.Client, error) {
	c, _, err := g.reach(ctx)
	return c, err
}

func (g *generic) reach(ctx context.Context) (*client.Client, string, error) {
	places := client.PlacesFromEnv(g.app.Getenv)
	cfg, err := client.LoadConfig(places.ConfigDir)
	if err != nil {
		return nil, "", err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(g.app.Stderr, w)
	}
	server, err := cfg.Choose(g.server, places.Socket)
	if err != nil {
		return nil, "", err
	}
	g.actor = g.app.User
	if server.Socket != "" {
		g.actor = g.app.Login // the kernel tells the server, $USER does not
	}
	opts := client.Options{User: g.actor, Password: g.password}
	if g.trace {
		var stdout io.Writer = g.app.Stdout
		opts.Trace = cmp.Or(g.app.Trace, stdout)
	}
	if opts.Password == "-" {
		if opts.Password, err = g.app.Password(); err != nil {
			return nil, "", fmt.Errorf("ask for the password: %w", err)
		}
	}
	c := client.New(server, opts)
	version, err := c.Connect(ctx)
	if err != nil {
		c.Close()
		return nil, "", err
	}
	return c, version, nil
}
