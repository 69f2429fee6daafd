package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/bench"
)

// indexUnset is -W not given.
const indexUnset = -2

// options are what the command line said, and the streams of the process.
type options struct {
	input, output, outputCmd  string
	resume, noVerify          bool
	nodeFile, nodes, topology string
	sort                      bool
	ok, ko, verbose           string
	json                      bool

	launcher, ssh, params         string
	launchWindow                  int
	connectTimeout, launchTimeout float64 // seconds
	program, remoteDir            string

	master  string
	index   int
	port    int
	retry   int
	retry2  string
	keyFile string
	noKey   bool

	adjustPort                       bool
	chains                           int
	slow                             string
	slowShare, slowPatience, timeout float64
	window, compress                 string
	encrypt                          bool

	bufferSize, buffers int
	ignored             ignored

	in        io.Reader
	out, errs io.Writer
	given     func(flag string) bool

	// Made by check.
	log         *slog.Logger
	level       slog.Level
	screen      *screen
	names       []string       // of the nodes, in order
	ports       map[string]int // of those that have one of their own
	key         []byte
	translated  string // launcher of another name
	windowBytes int64
	late        lateRetries
}

// lateRetries is -R: after some time a node makes another number of attempts.
type lateRetries struct {
	after time.Duration
	tries int
	given bool
}

// isHead tells whether this process is the head.
func (o *options) isHead() bool {
	return o.launcher != "none" || o.index == -1 || o.index == indexUnset && o.input != ""
}

// check reads the files that options name, and refuses what does not fit together.
func (o *options) check() error {
	level, ok := levels[strings.ToLower(o.verbose)]
	if !ok {
		return fmt.Errorf("-v %s: use fatal, error, warn, info, debug or 0 to 4", o.verbose)
	}
	o.screen = newScreen(o.errs, o.json)
	o.level = level
	o.log = newLog(o.screen, level)
	if err := o.checkLauncher(); err != nil {
		return err
	}
	if note := o.notes(); note != "" {
		fmt.Fprintln(o.errs, "kascade: note:", note)
	}
	if err := o.readNodes(); err != nil {
		return err
	}
	if err := o.checkNumbers(); err != nil {
		return err
	}
	if o.launcher == "none" {
		return o.checkHand()
	}
	return o.checkSSH()
}

func (o *options) checkLauncher() error {
	// Only what is started by hand is told a key, or as a node where the head is.
	if !o.given("deploy") && (o.keyFile != "" || o.noKey || o.input == "" && o.master != "") {
		o.launcher = "none"
	}
	switch o.launcher {
	case "ssh", "none":
	case "taktuk", "clush":
		o.translated, o.launcher = o.launcher, "ssh"
	default:
		return fmt.Errorf("-D %s: use ssh, or none to start head and nodes by hand", o.launcher)
	}
	return nil
}

func (o *options) checkSSH() error {
	switch {
	case o.input == "":
		return errors.New("give -i PATH, what to send; a node that is started by hand needs -D none")
	case o.outputs() != 1:
		return errors.New("give either -o PATH or -O CMD, where the nodes put it")
	case o.output == "-":
		return errors.New("-o - is for nodes that are started by hand (-D none): with ssh their standard output is the head's link. Use -O CMD")
	case o.outputCmd != "" && o.resume:
		return errors.New("--resume is for -o FILE: a command cannot go on where another one stopped")
	}
	return nil
}

func (o *options) checkHand() error {
	switch {
	case o.isHead() && o.input == "":
		return errors.New("the head needs -i PATH")
	case !o.isHead() && o.outputs() != 1:
		return errors.New("a node needs either -o PATH or -O CMD")
	case !o.isHead() && o.master == "":
		return errors.New("a node needs -m HEAD; the head needs -i PATH")
	case o.index >= len(o.names):
		return fmt.Errorf("-W %d: there are %d nodes, counted from 0", o.index, len(o.names))
	case o.outputCmd != "" && o.resume:
		return errors.New("--resume is for -o FILE: a command cannot go on where another one stopped")
	}
	return o.readKey()
}

// outputs counts the places for the copy that were given.
func (o *options) outputs() int {
	n := 0
	for _, s := range []string{o.output, o.outputCmd} {
		if s != "" {
			n++
		}
	}
	return n
}

// checkNumbers refuses values that mean nothing, and reads those that are texts.
func (o *options) checkNumbers() error {
	for _, c := range []struct {
		bad  bool
		text string
	}{
		{o.port < 0 || o.port > 65535, fmt.Sprintf("-p %d is not a port", o.port)},
		{o.retry < 0, "-r: a number of seconds, 0 or more"},
		{o.chains < 1, "--chains: 1 or more"},
		{o.launchWindow < 1, "--launch-window: 1 or more"},
		{!(o.connectTimeout >= 1 && o.connectTimeout < 3600), "--connect-timeout: 1 to 3600 seconds"},
		{!(o.launchTimeout >= 1 && o.launchTimeout < 3600), "--launch-timeout: 1 to 3600 seconds"},
		{!(o.timeout >= 1 && o.timeout < 3600), "-t: 1 to 3600 seconds; a node that says nothing for less may be alive"},
		{!(o.slowShare > 0 && o.slowShare < 1), "--slow-share: between 0 and 1, as 0.5"},
		{!(o.slowPatience > 0 && o.slowPatience < 86400), "--slow-patience: a number of seconds"},
		{o.bufferSize < 1 || o.buffers < 1, "-b and -u: 1 or more"},
	} {
		if c.bad {
			return errors.New(c.text)
		}
	}
	if _, err := kascade.ParseSlowMode(o.slow); err != nil {
		return fmt.Errorf("--slow %w", err)
	}
	if _, ok := compressions[o.compress]; !ok {
		return fmt.Errorf("--compress %s: use auto, on or off", o.compress)
	}
	if err := o.readWindow(); err != nil {
		return err
	}
	return o.readRetry2()
}

func (o *options) readWindow() error {
	if !o.given("window") && (o.given("buffer-size") || o.given("number-of-buffer")) {
		if o.windowBytes = int64(o.bufferSize) * int64(o.buffers); o.windowBytes/int64(o.buffers) != int64(o.bufferSize) || o.windowBytes > 1<<40 {
			return fmt.Errorf("-b %d -u %d: a node cannot hold so much", o.bufferSize, o.buffers)
		}
		return nil
	}
	n, err := bench.ParseSize(o.window)
	if err != nil {
		return fmt.Errorf("--window: %w", err)
	}
	o.windowBytes = n
	return nil
}

func (o *options) readRetry2() error {
	after, tries, ok := strings.Cut(o.retry2, ",")
	t, err1 := strconv.Atoi(after)
	n, err2 := strconv.Atoi(tries)
	if !ok || err1 != nil || err2 != nil || t < 0 || n < 0 {
		return fmt.Errorf("-R %s: give T,N: after T seconds, N attempts", o.retry2)
	}
	o.late = lateRetries{time.Duration(t) * time.Second, n, o.given("retry2")}
	return nil
}

var compressions = map[string]kascade.Compression{"auto": kascade.CompressAuto, "on": kascade.CompressOn, "off": kascade.CompressOff}

var levels = map[string]slog.Level{
	"fatal": slog.LevelError + 4, "error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug,
	"0": slog.LevelError + 4, "1": slog.LevelError, "2": slog.LevelWarn, "3": slog.LevelInfo, "4": slog.LevelDebug,
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
