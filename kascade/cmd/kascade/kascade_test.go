package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(built)
		os.Exit(code)
	}))
}

// process is one run of the program.
type process struct {
	code     int
	out, err bytes.Buffer
}

// start runs the program until it ends or the test has taken too long.
func start(t *testing.T, wg *sync.WaitGroup, stdin string, args ...string) *process {
	p := &process{}
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		p.code = run(ctx, args, strings.NewReader(stdin), &p.out, &p.err)
	})
	return p
}

func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

func TestBroadcast(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes []string // arguments of each; nil: never started
		stdin bool
		retry string
		code  int
		codes []int
		ok    []string
		ko    map[string]string // reason contains
	}{
		{name: "well", nodes: []string{"-o DIR/h1", "-O 'cat > DIR/h2'", "-o DIR/h3"}, retry: "10", ok: []string{"h1", "h2", "h3"}},
		{name: "standard input", nodes: []string{"-o DIR/h1"}, stdin: true, retry: "10", ok: []string{"h1"}},
		{name: "one is missing", nodes: []string{"-o DIR/h1", "", "-o DIR/h3"}, retry: "3", code: exitSome, ok: []string{"h1", "h3"}, ko: map[string]string{"h2": "did not join within 3s"}},
		{name: "a command fails", nodes: []string{"-o DIR/h1", "-O 'cat >/dev/null; echo broken pump; exit 3'", "-o DIR/h3"}, retry: "10", code: exitSome, codes: []int{0, 1, 0},
			ok: []string{"h1", "h3"}, ko: map[string]string{"h2": "exit status 3; it printed: broken pump"}},
		{name: "a disk is full, a directory is not there", nodes: []string{"-o /dev/full", "-o DIR/none/h2"}, retry: "10", code: exitFatal, codes: []int{1, 1},
			ok: []string{}, ko: map[string]string{"h1": "no space left on device", "h2": "no such file or directory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			data := make([]byte, 3<<20+5)
			rand.NewChaCha8([32]byte{1}).Read(data)
			image, key := filepath.Join(dir, "image"), filepath.Join(dir, "key")
			must(t, os.WriteFile(image, data, 0o600))
			must(t, os.WriteFile(key, []byte("sesame\n"), 0o600))
			var names []string
			for i := range c.nodes {
				names = append(names, fmt.Sprintf("h%d", i+1))
			}
			port := freePort(t)
			common := []string{"-D", "none", "-N", strings.Join(names, ","), "--key-file", key, "-r", c.retry}
			var wg sync.WaitGroup
			input, stdin := image, ""
			if c.stdin {
				input, stdin = "-", string(data)
			}
			head := start(t, &wg, stdin, append(common, "-i", input, "-p", port, "-k", dir+"/ok", "-K", dir+"/ko", "--json")...)
			nodes := make([]*process, len(c.nodes))
			for i, args := range c.nodes {
				if args == "" {
					continue
				}
				flag, value, _ := strings.Cut(strings.ReplaceAll(args, "DIR", dir), " ")
				nodes[i] = start(t, &wg, "", append(common, "-W", strconv.Itoa(i), "-m", "127.0.0.1:"+port, flag, strings.Trim(value, "'"))...)
			}
			wg.Wait()
			if head.code != c.code {
				t.Errorf("the head's exit code is %d, want %d\n%s", head.code, c.code, &head.err)
			}
			for i, n := range nodes {
				want := 0
				if c.codes != nil {
					want = c.codes[i]
				}
				if n != nil && n.code != want {
					t.Errorf("h%d: exit code %d, want %d\n%s", i+1, n.code, want, &n.err)
				}
			}
			var ok []string
			ko := map[string]string{}
			readYAML(t, dir+"/ok", &ok)
			readYAML(t, dir+"/ko", &ko)
			if diff := cmp.Diff(c.ok, ok); diff != "" {
				t.Errorf("ok (-want +got):\n%s", diff)
			}
			if len(ko) != len(c.ko) {
				t.Errorf("ko is %v, want %v", ko, c.ko)
			}
			for n, want := range c.ko {
				if !strings.Contains(ko[n], want) {
					t.Errorf("ko[%s] = %q, want %q", n, ko[n], want)
				}
			}
			for _, n := range c.ok {
				if got, err := os.ReadFile(filepath.Join(dir, n)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s has %d bytes, %v", n, len(got), err)
				}
			}
			checkJSON(t, head.out.Bytes(), len(c.nodes), int64(len(data)))
		})
	}
}

// checkJSON reads the last line of the head's output.
func checkJSON(t *testing.T, out []byte, nodes int, size int64) {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var r struct {
		Event string
		Size  int64
		Nodes map[string]*string
	}
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if r.Event != "result" || r.Size != size || len(r.Nodes) != nodes {
		t.Errorf("result is %+v", r)
	}
}

// TestWrongKey: a node with another key is refused, at once, and told why.
func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/image", []byte("x"), 0o600))
	must(t, os.WriteFile(dir+"/key", []byte("sesame"), 0o600))
	must(t, os.WriteFile(dir+"/other", []byte("barley"), 0o600))
	port := freePort(t)
	var wg sync.WaitGroup
	// A node that comes too early tries again after a second: the head must still be there.
	head := start(t, &wg, "", "-N", "h1", "-i", dir+"/image", "-p", port, "-r", "4", "--key-file", dir+"/key")
	node := start(t, &wg, "", "-N", "h1", "-W", "0", "-o", dir+"/h1", "-m", "127.0.0.1:"+port, "--key-file", dir+"/other")
	wg.Wait()
	if head.code != exitFatal || node.code != exitFatal || !strings.Contains(node.err.String(), "does not know the key") {
		t.Errorf("head %d, node %d: %s", head.code, node.code, &node.err)
	}
	if !strings.Contains(head.err.String(), "did not join") {
		t.Errorf("head: %s", &head.err)
	}
}

func TestUsage(t *testing.T) {
	t.Setenv("KASCADE_KEY", "")
	for args, want := range map[string]string{
		"-i x":                                       "no nodes",
		"-D none -N a -i x":                          "no key",
		"-N a --no-key -i /none/such":                "no such file",
		"-N a,a --no-key -i x":                       "listed twice",
		"-N a --no-key -o x":                         "needs -m HEAD",
		"-N a --no-key -m h":                         "either -o PATH or -O CMD",
		"-N a --no-key -m h -o x -O y":               "either -o PATH or -O CMD",
		"-N a --no-key -m h -o x -W 1":               "counted from 0",
		"-N a --no-key -W -1":                        "needs -i PATH",
		"-N a --no-key --key-file x -i x":            "exclude",
		"-N no-such-host --no-key -m h -o x":         "say which with -W",
		"-N a --no-key -i x -v loud":                 "use fatal, error",
		"-N a -i x -o y -D rsh":                      "use ssh, or none",
		"-N a -o y":                                  "give -i PATH",
		"-N a -i x":                                  "either -o PATH or -O CMD",
		"-N a -i x -o -":                             "-D none",
		"-N a -i x -O y --resume":                    "a command cannot go on",
		"-N a[ -i x -o y":                            "bracket",
		"-N a[3-1] -i x -o y":                        "no range",
		"-N a:b -i x -o y":                           "no port",
		"-N fe80::1 -i x -o y":                       "no port",
		"-N -oProxyCommand=id -i x -o y":             "not the name of a node",
		"-N a -i x -o y --topology /none":            "--topology",
		"-N a -i x -o y -t 0":                        "-t: 1 to 3600",
		"-N a -i x -o y -t NaN":                      "-t: 1 to 3600",
		"-N a -i x -o y --chains 0":                  "--chains: 1 or more",
		"-N a -i x -o y --slow never":                "side, wait or drop",
		"-N a -i x -o y --slow-share 2":              "between 0 and 1",
		"-N a -i x -o y --compress zip":              "auto, on or off",
		"-N a -i x -o y --window much":               "is not a size",
		"-N a -i x -o y -b 9223372036854775807 -u 2": "cannot hold so much",
		"-N a -i x -o y -R 5":                        "give T,N",
		"-N a -i /dev/null -o y -S '":                "is not closed",
		"-N a -i / -o y --resume":                    "packed anew",
		"-n /none/such --no-key -i x":                "no such file",
		"--frobnicate":                               "unknown flag",
	} {
		if strings.Contains(args, "-i x") || strings.Contains(args, "-i /") {
			args += " -p " + freePort(t)
		}
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), strings.NewReader(""), &out, &errs); code != exitFatal || !strings.Contains(errs.String(), want) {
			t.Errorf("kascade %s: code %d, %q, want %q", args, code, &errs, want)
		}
	}
}

func TestNodeList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nodes")
	must(t, os.WriteFile(file, []byte("n-10.lyon\nn-9.lyon\n\nn-9.lyon\n"), 0o600))
	o := &options{nodes: "n-[2,1].nancy:4000", nodeFile: file, sort: true}
	if err := o.readNodes(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"n-9.lyon", "n-10.lyon", "n-1.nancy", "n-2.nancy"}, o.names); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if o.ports["n-1.nancy"] != 4000 || o.ports["n-9.lyon"] != 0 {
		t.Errorf("ports are %v", o.ports)
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	must(t, yaml.Unmarshal(b, into))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
