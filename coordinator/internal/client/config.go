package client

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/tree"
)

// DefaultSocket is where a daemon on this host listens.
const DefaultSocket = "/run/kadeploy/kadeployd.sock"

// Server is how one coordinator is reached.
type Server struct {
	Name         string
	Socket       string // of a coordinator on this host; then Hostname, Port and Secure do not count
	Hostname     string
	Port         int
	Secure       bool   // TLS; the certificate is not verified (contract 1.1)
	HeaderPrefix string // of the header that names the user; "": ask the server
}

// String is the address, for messages.
func (s Server) String() string {
	if s.Socket != "" {
		return s.Socket
	}
	scheme := "http"
	if s.Secure {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s:%d", scheme, s.Hostname, s.Port)
}

// Config is client.conf (contract 5.5).
type Config struct {
	File     string // that was read; "" if there is none
	Default  string
	Servers  []Server
	Warnings []string
}

// Places is what the environment says about where things are.
type Places struct {
	ConfigDir string // $KADEPLOY3_CONFIG_DIR or /etc/kadeploy3
	Socket    string // $KADEPLOY_SOCKET; "" if it is not set
}

// PlacesFromEnv reads the environment by way of getenv.
func PlacesFromEnv(getenv func(string) string) Places {
	return Places{
		ConfigDir: cmp.Or(getenv("KADEPLOY3_CONFIG_DIR"), "/etc/kadeploy3"),
		Socket:    getenv("KADEPLOY_SOCKET"),
	}
}

// LoadConfig reads client.conf, or under its older name client_conf.yml. Having
// neither is no error.
func LoadConfig(dir string) (*Config, error) {
	for _, name := range []string{"client.conf", "client_conf.yml"} {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		return ParseConfig(file, data)
	}
	return &Config{}, nil
}

// ParseConfig reads the text of client.conf. Unknown fields only warn.
func ParseConfig(file string, data []byte) (*Config, error) {
	doc, err := tree.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	root := doc.Root()
	cfg := &Config{File: file, Default: root.Get("default").Must().String("")}
	for _, n := range root.Get("servers").Must().Items() {
		s := Server{
			Name:         n.Get("name").Must().String(""),
			Socket:       n.Get("socket").String(""),
			Secure:       n.Get("secure").Bool(true),
			HeaderPrefix: n.Get("auth_headers_prefix").String(""),
		}
		hostname, port := n.Get("hostname"), n.Get("port")
		if s.Socket == "" {
			hostname.Must()
			port.Must()
		}
		s.Hostname, s.Port = hostname.String(""), port.Int(0)
		if port.Exists() && (s.Port < 1 || s.Port > 65535) {
			port.Fail("Invalid value '%d', a port is 1 to 65535", s.Port)
		}
		cfg.Servers = append(cfg.Servers, s)
	}
	if len(doc.Problems()) == 0 && cfg.find(cfg.Default) == nil {
		root.Get("default").Fail("Invalid value '%s', it must be one of the servers: %s", cfg.Default, cfg.names())
	}
	if problems := doc.Problems(); len(problems) > 0 {
		var all []string
		for _, p := range problems {
			all = append(all, fmt.Sprintf("%s:%d: %s [field: %s]", file, p.Line, p.Reason, p.Path))
		}
		return nil, errors.New(strings.Join(all, "\n"))
	}
	for _, u := range doc.Unused() {
		cfg.Warnings = append(cfg.Warnings, fmt.Sprintf("%s:%d: %s '%s'", file, u.Line, u.Reason, u.Path))
	}
	return cfg, nil
}

func (c *Config) find(name string) *Server {
	i := slices.IndexFunc(c.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Servers[i]
}

func (c *Config) names() string {
	var names []string
	for _, s := range c.Servers {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// Choose is the server to talk to: the named one; else the socket of the
// environment; else the default of client.conf; else the socket of this host.
func (c *Config) Choose(name, socket string) (Server, error) {
	switch {
	case name != "":
		if s := c.find(name); s != nil {
			return *s, nil
		}
		if c.File == "" {
			return Server{}, fmt.Errorf("server %s: there is no client.conf that could name it", name)
		}
		return Server{}, fmt.Errorf("server %s: it is not in %s, which has %s", name, c.File, c.names())
	case socket != "":
		return Server{Name: "local", Socket: socket}, nil
	case c.Default != "":
		return *c.find(c.Default), nil
	}
	return Server{Name: "local", Socket: DefaultSocket}, nil
}
