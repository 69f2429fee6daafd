// Package config reads the coordinator's configuration directory: server.conf,
// clusters.conf, the file of each cluster, command.conf (contract 5; our own keys
// are in docs/configuration.md). It fills in defaults, reads the files that are
// named there, and refuses what cannot work. It starts and changes nothing.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kadeploy/coordinator/internal/cluster"
)

// Names of the files in a configuration directory; the second are from before 3.2.
var (
	serverFiles   = [2]string{"server.conf", "server_conf.yml"}
	clustersFiles = [2]string{"clusters.conf", "clusters_conf.yml"}
)

const (
	commandFile = "command.conf"
	versionFile = "version"
)

// Config is a configuration that was found good.
type Config struct {
	Dir      string // absolute
	Version  string // content of the file "version", if there is one
	Server   Server
	Site     *cluster.Site
	Warnings []Problem
}

// Problem is one thing that is wrong, or worth a warning, in one file.
type Problem struct {
	File   string
	Line   int    // 0: the file as a whole
	Path   string // keys joined by slashes
	Reason string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	fmt.Fprintf(&b, ": %s", p.Reason)
	if p.Path != "" {
		fmt.Fprintf(&b, " [field: %s]", p.Path)
	}
	return b.String()
}

// Error is everything that makes a configuration unusable.
type Error struct {
	Dir      string
	Problems []Problem
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "\n  " + p.String()
	}
	return fmt.Sprintf("the configuration in %s cannot be used:%s", e.Dir, strings.Join(lines, ""))
}

// Load reads the directory. Its error is an *Error with all that is wrong.
// The warnings are worth showing even then; they are in the Config, which is never nil.
func Load(dir string) (*Config, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return &Config{Dir: dir}, &Error{dir, []Problem{{Reason: err.Error()}}}
	}
	l := &loader{dir: abs}
	c := &Config{Dir: abs, Site: &cluster.Site{}}
	c.Version = l.version()
	if f := l.open(serverFiles[:]...); f != nil {
		c.Server = l.server(f)
		f.close()
	}
	if f := l.open(clustersFiles[:]...); f != nil {
		c.Site = l.site(f, &c.Server)
		f.close()
	}
	l.commands(c.Site)
	l.strangers(&c.Server.Kascade, c.Site)
	c.Warnings = l.warnings
	if len(l.problems) > 0 {
		return c, &Error{abs, l.problems}
	}
	return c, nil
}

func (l *loader) version() string {
	data, err := os.ReadFile(filepath.Join(l.dir, versionFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.problem(Problem{File: versionFile, Reason: err.Error()})
	}
	return strings.TrimSpace(string(data))
}
