package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kadeploy/kascade"
)

// originals are the options of the original Kascade, all of which must be there.
var originals = map[string]string{
	"input": "i", "output": "o", "output-cmd": "O", "node-file": "n", "node": "N", "ok": "k", "ko": "K", "sort": "s", "verbose": "v",
	"buffer-size": "b", "number-of-buffer": "u", "chunk-size": "C", "deploy": "D", "params": "P", "ssh": "S", "master": "m", "port": "p",
	"adjust-port": "", "retry": "r", "retry2": "R", "timeout": "t", "no-check": "c", "wait": "w", "remove": "M", "index": "W", "no-handshake": "H", "ip": "I",
}

// TestTexts: each option is in the help and in the manual page, and nothing is in two groups.
func TestTexts(t *testing.T) {
	var help, man bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, nil, &help, &help); code != exitOK {
		t.Fatalf("--help: code %d", code)
	}
	if code := run(t.Context(), []string{"man"}, nil, &man, &man); code != exitOK {
		t.Fatalf("man: code %d", code)
	}
	seen := map[string]string{}
	for _, g := range (&options{}).groups() {
		g.flags.VisitAll(func(f *pflag.Flag) {
			if before, twice := seen[f.Name]; twice {
				t.Errorf("--%s is in %q and in %q", f.Name, before, g.title)
			}
			seen[f.Name] = g.title
			if letter, is := originals[f.Name]; is && letter != f.Shorthand {
				t.Errorf("--%s has the letter %q, the original %q", f.Name, f.Shorthand, letter)
			}
			if !strings.Contains(help.String(), "--"+f.Name+" ") {
				t.Errorf("--%s is not in the help", f.Name)
			}
			if !strings.Contains(man.String(), `\-\-`+strings.ReplaceAll(f.Name, "-", `\-`)) {
				t.Errorf("--%s is not in the manual page", f.Name)
			}
		})
	}
	for name := range originals {
		if seen[name] == "" {
			t.Errorf("the original's --%s is missing", name)
		}
	}
	for line := range strings.Lines(help.String()) {
		if len([]rune(line)) > 101 {
			t.Errorf("longer than 100 columns: %s", line)
		}
	}
	if strings.Contains(help.String(), "default )") {
		t.Errorf("an empty default is shown:\n%s", &help)
	}
	for line := range strings.Lines(man.String()) {
		if strings.HasPrefix(line, "'") || strings.Contains(line, "`") {
			t.Errorf("man page: %s", line)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, nil, &out, &errs); code != exitOK || !strings.Contains(out.String(), "kascade") {
			t.Errorf("completion %s: code %d, %d bytes, %s", shell, code, out.Len(), &errs)
		}
	}
	var out bytes.Buffer
	if run(t.Context(), []string{"__complete", "--slow", ""}, nil, &out, &bytes.Buffer{}); !strings.HasPrefix(out.String(), "side\nwait\ndrop\n") {
		t.Errorf("completion of --slow: %s", &out)
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--version"}, nil, &out, &out); code != exitOK || out.String() != "kascade unknown\n" {
		t.Errorf("code %d, %q", code, &out)
	}
}

// TestNotes: options without effect are named once, on one line.
func TestNotes(t *testing.T) {
	for args, want := range map[string]string{
		"-D ssh":                                  "",
		"-D taktuk -P '-d;10'":                    "kascade: note: -D taktuk means ssh; -P (options of taktuk) without effect, see --help\n",
		"-C 160 -I -c -w -M -H":                   "kascade: note: -C, -I, -c, -w, -M, -H without effect, see --help\n",
		"-W 0 -r 5 -R 10,0":                       "kascade: note: -W (for -D none), -r (for -D none), -R (for -D none) without effect, see --help\n",
		"-D none --no-key -S x -P y -b 1000 -u 2": "kascade: note: -S (for ssh), -P (for ssh) without effect, see --help\n",
	} {
		var out, errs bytes.Buffer
		run(t.Context(), append([]string{"-N", "a", "-i", "/none/such", "-o", "y", "-p", freePort(t)}, strings.Fields(args)...), nil, &out, &errs)
		note := ""
		for line := range strings.Lines(errs.String()) {
			if strings.Contains(line, "note:") {
				note += line
			}
		}
		if note != want {
			t.Errorf("%s: %q, want %q", args, note, want)
		}
		if !strings.Contains(errs.String(), "no such file") {
			t.Errorf("%s: %q does not come to the source", args, &errs)
		}
	}
}

func TestWindow(t *testing.T) {
	for args, want := range map[string]int64{
		"": 32 << 20, "--window 8M": 8 << 20, "-b 1000 -u 2000": 2_000_000, "-b 32768": 1600 * 32768, "-u 160": 160 * 65536, "--window 8M -u 3": 8 << 20,
	} {
		o := &options{}
		cmd := o.command()
		must(t, cmd.ParseFlags(strings.Fields(args)))
		o.given = cmd.Flags().Changed
		if err := o.readWindow(); err != nil || o.windowBytes != want {
			t.Errorf("%q: window of %d bytes, %v, want %d", args, o.windowBytes, err, want)
		}
	}
}

func TestPicture(t *testing.T) {
	node := func(name string, state kascade.State, consumed int64) kascade.NodeProgress {
		return kascade.NodeProgress{Name: name, State: state, Consumed: consumed, Received: consumed, Rate: 5 << 20}
	}
	slow, dead := node("h2", kascade.Receiving, 10<<20), node("h3", kascade.Failed, 0)
	slow.Slow, slow.Side = "its disk or command", true
	dead.Err = errors.New("control link lost")
	for _, c := range []struct {
		name string
		p    kascade.Progress
		want []string
	}{
		{"the beginning", kascade.Progress{Size: 100 << 20, Left: -1, Nodes: []kascade.NodeProgress{node("h1", kascade.Waiting, 0)}},
			[]string{"0 of 1 nodes done, 1 not ready"}},
		{"a slow and a dead one", kascade.Progress{Size: 100 << 20, Rate: 50 << 20, Left: 3 * time.Second, Slowest: "h1", Why: "its CPU",
			Nodes: []kascade.NodeProgress{node("h1", kascade.Receiving, 50<<20), slow, dead, node("h4", kascade.Done, 100<<20)}},
			[]string{
				" 50 %  50 MiB of 100 MiB  50 MiB/s  3s left  1 of 4 nodes done, 1 failed",
				"  held up by h1: its CPU",
				"  slow: h2: its disk or command; goes on beside the chain, 10 %, 5 MiB/s",
				"  failed: h3: control link lost",
			}},
		{"a stream whose end is not known", kascade.Progress{Size: -1, Rate: 1 << 20, Left: -1, Nodes: []kascade.NodeProgress{node("h1", kascade.Receiving, 3<<20)}},
			[]string{"3 MiB  1 MiB/s  0 of 1 nodes done"}},
		{"an empty file", kascade.Progress{Nodes: []kascade.NodeProgress{node("h1", kascade.Finishing, 0)}},
			[]string{"0 B  0 B/s  0 of 1 nodes done"}},
		{"many dead ones", kascade.Progress{Size: 1, Nodes: []kascade.NodeProgress{dead, dead, dead, dead, dead, dead}}, []string{
			"0 of 6 nodes done, 6 failed", "  failed: h3: control link lost", "  failed: h3: control link lost", "  failed: h3: control link lost",
			"  failed: h3: control link lost", "  and 2 more failed nodes"}},
		{"a branch goes on", kascade.Progress{Size: 100 << 20, Left: 9 * time.Second, Nodes: []kascade.NodeProgress{slow, node("h4", kascade.Done, 100<<20)}},
			[]string{"9s left  1 of 2 nodes done", "  slow: h2: its disk or command; goes on beside the chain, 10 %, 5 MiB/s"}},
	} {
		if diff := cmp.Diff(c.want, picture(c.p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestFit(t *testing.T) {
	got := fit([]string{"short", "longer than it is wide", "with \x1b[2J\x07 controls\n", "one too many"}, 12, 3)
	if diff := cmp.Diff([]string{"short", "longer than…", "with [2J co…"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScreen: messages stand above the drawn lines, which come back.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, false)
	s.lines = []string{"one", "two"}
	s.Write([]byte("message\n"))
	if want := "\r\x1b[1A\x1b[Jmessage\none\ntwo"; out.String() != want {
		t.Errorf("wrote %q, want %q", &out, want)
	}
}

func TestMessages(t *testing.T) {
	var out bytes.Buffer
	log := newLog(&out, slog.LevelInfo).With("node", "h1")
	log.Warn("node is slow", "cause", "its disk or command")
	log.Info("said", "line", "a \"quoted\" one\nand \x1b[2J another")
	log.Debug("nobody sees this")
	want := "kascade: warning: node is slow: node h1, cause its disk or command\nkascade: said: node h1, line a \"quoted\" one\\nand \\x1b[2J another\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", &out, want)
	}
}

func TestTopology(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topology")
	must(t, os.WriteFile(file, []byte("switch-1: n-3, n-1\nswitch-2: n-2\n"), 0o600))
	var errs bytes.Buffer
	o := &options{nodes: "n-[0-3]", topology: file, log: newLog(&errs, slog.LevelWarn)}
	must(t, o.readNodes())
	if diff := cmp.Diff([]string{"n-3", "n-1", "n-2", "n-0"}, o.names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if !strings.Contains(errs.String(), "n-0") {
		t.Errorf("nothing is said of n-0: %q", &errs)
	}
}

// TestHeadOptions: what the command line says arrives at the engine.
func TestHeadOptions(t *testing.T) {
	for args, want := range map[string]kascade.HeadOptions{
		"": {Window: 32 << 20, DeadAfter: kascade.DefaultDeadAfter, Chains: 1, Slow: kascade.Slow{Share: 0.5, Patience: 3 * time.Second}},
		"-m head:4 -t 4 --chains 3 --slow drop --slow-share 0.25 --slow-patience 1.5 --encrypt --compress off --no-verify -b 65536 -u 160": {
			Host: "head", Window: 160 << 16, DeadAfter: 4 * time.Second, Chains: 3, Encrypt: true, Compress: kascade.CompressOff, NoVerify: true,
			Slow: kascade.Slow{Mode: kascade.SlowDrop, Share: 0.25, Patience: 1500 * time.Millisecond},
		},
	} {
		o := &options{errs: &bytes.Buffer{}}
		cmd := o.command()
		must(t, cmd.ParseFlags(append(strings.Fields(args), "-N", "h[1-2]", "-i", "x", "-o", "y")))
		o.given = cmd.Flags().Changed
		must(t, o.check())
		got, err := o.headOptions(t.Context())
		must(t, err)
		want.Order = []string{"h1", "h2"}
		got.Logger = nil
		if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Progress" }, cmp.Ignore())); diff != "" {
			t.Errorf("%q (-want +got):\n%s", args, diff)
		}
	}
}

// TestHeadPort: the head's data port is the one that was asked for, or the next that is free.
func TestHeadPort(t *testing.T) {
	taken, err := net.Listen("tcp", ":0")
	must(t, err)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for _, c := range []struct{ args, want string }{{"", "next"}, {"--adjust-port=false", "address already in use"}} {
		o := &options{errs: &bytes.Buffer{}}
		cmd := o.command()
		must(t, cmd.ParseFlags(append(strings.Fields(c.args), "-N", "h", "-i", "x", "-o", "y", "-p", strconv.Itoa(port))))
		o.given = cmd.Flags().Changed
		must(t, o.check())
		opts, err := o.headOptions(t.Context())
		if c.want == "next" {
			if n, _ := strconv.Atoi(strings.TrimPrefix(opts.Listen, ":")); err != nil || n <= port || n > port+portTries {
				t.Errorf("listens on %q, %v, want a port after %d", opts.Listen, err, port)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}
