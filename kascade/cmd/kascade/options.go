package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"kadeploy/kascade"
)

// indexUnset is -W not given.
const indexUnset = -2

// options are what the command line said, and the streams of the process.
type options struct {
	input, output, outputCmd string
	nodeFile, nodes          string
	sort                     bool
	index                    int
	master                   string
	port                     int
	launcher                 string
	retry                    int
	keyFile                  string
	noKey                    bool
	ok, ko                   string
	verbose                  string
	json                     bool

	in        io.Reader
	out, errs io.Writer

	log   *slog.Logger
	names []string // of the nodes, in order
	key   []byte
}

// isHead tells whether this process is the head.
func (o *options) isHead() bool { return o.index == -1 || o.index == indexUnset && o.input != "" }

// check reads the files that options name, and refuses what does not fit together.
func (o *options) check() error {
	level, ok := levels[o.verbose]
	if !ok {
		return fmt.Errorf("-v %s: use fatal, error, warn, info, debug or 0 to 4", o.verbose)
	}
	o.log = slog.New(slog.NewTextHandler(o.errs, &slog.HandlerOptions{Level: level}))
	if o.launcher != "none" {
		return fmt.Errorf("-D %s: the only launcher is none: start head and nodes by hand", o.launcher)
	}
	if err := o.readNodes(); err != nil {
		return err
	}
	switch {
	case o.isHead() && o.input == "":
		return errors.New("the head needs -i FILE")
	case !o.isHead() && (o.output == "") == (o.outputCmd == ""):
		return errors.New("a node needs either -o FILE or -O CMD")
	case !o.isHead() && o.master == "":
		return errors.New("a node needs -m HEAD; the head needs -i FILE")
	case o.index >= len(o.names):
		return fmt.Errorf("-W %d: there are %d nodes, counted from 0", o.index, len(o.names))
	case o.port < 0 || o.port > 65535:
		return fmt.Errorf("-p %d is not a port", o.port)
	}
	return o.readKey()
}

var levels = map[string]slog.Level{
	"fatal": slog.LevelError + 4, "error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug,
	"0": slog.LevelError + 4, "1": slog.LevelError, "2": slog.LevelWarn, "3": slog.LevelInfo, "4": slog.LevelDebug,
}

// readNodes makes the list of names.
func (o *options) readNodes() error {
	words := strings.Split(o.nodes, ",")
	if o.nodeFile != "" {
		b, err := os.ReadFile(o.nodeFile)
		if err != nil {
			return fmt.Errorf("-n: %w", err)
		}
		words = append(words, strings.Fields(string(b))...)
	}
	seen := map[string]bool{}
	for _, w := range words {
		w = strings.TrimSpace(w)
		if host, _, ok := strings.Cut(w, ":"); ok && strings.Count(w, ":") == 1 {
			w = host // a port of its own, as the original had them: ours are free ones
		}
		if w == "" {
			continue
		}
		if seen[w] && !o.sort {
			return fmt.Errorf("node %s is listed twice; -s takes each once", w)
		}
		if !seen[w] {
			o.names = append(o.names, w)
		}
		seen[w] = true
	}
	if len(o.names) == 0 {
		return errors.New("no nodes: give -N h1,h2,... or -n FILE")
	}
	if o.sort {
		slices.SortFunc(o.names, func(a, b string) int { return kascade.CompareNames(reversed(a), reversed(b)) })
	}
	return nil
}

// reversed puts the parts of a host name last to first, so that sites and clusters stand together.
func reversed(name string) string {
	parts := strings.Split(name, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}

// readKey finds the shared key.
func (o *options) readKey() error {
	switch {
	case o.noKey && o.keyFile != "":
		return errors.New("--no-key and --key-file exclude each other")
	case o.noKey:
		return nil
	case o.keyFile != "":
		b, err := os.ReadFile(o.keyFile)
		if err != nil {
			return fmt.Errorf("--key-file: %w", err)
		}
		o.key = bytes.TrimSpace(b)
	default:
		o.key = []byte(os.Getenv("KASCADE_KEY"))
	}
	if len(o.key) == 0 {
		return errors.New("no key: give --key-file FILE or $KASCADE_KEY, the same to head and nodes, or --no-key to let anyone join")
	}
	return nil
}

// self is the name of this node: by its number, else by its host name, else by its addresses.
func (o *options) self() (string, error) {
	if o.index >= 0 {
		return o.names[o.index], nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	mine := map[string]bool{}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() {
			mine[n.IP.String()] = true
		}
	}
	short, _, _ := strings.Cut(host, ".")
	for _, name := range o.names {
		if first, _, _ := strings.Cut(name, "."); name == host || first == short || mine[name] {
			return name, nil
		}
	}
	return "", fmt.Errorf("none of the nodes is this host (%s): say which with -W %s", host, "0.."+strconv.Itoa(len(o.names)-1))
}
