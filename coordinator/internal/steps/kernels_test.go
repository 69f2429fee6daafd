package steps

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// host is a node without an agent: what is run on it over ssh runs here, with the
// given programs in its PATH.
type host struct {
	path string
	ran  []string
}

func (h *host) Run(ctx context.Context, _ netip.Addr, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	h.ran = append(h.ran, line)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Env = []string{"PATH=" + h.path}
	if err := cmd.Run(); cmd.ProcessState == nil {
		return -1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// absent has no agent for any node.
type absent struct{}

func (absent) Session(context.Context, string, string) (agentv1.AgentClient, string, error) {
	return nil, "", fmt.Errorf("there is no agent")
}
func (absent) BootID(string) string { return "" }
func (absent) Dismiss(string)       {}

// repository is a mini-OS of two files and an overlay, served by HTTP.
type repository struct {
	url   string
	files map[string]string
}

func (r repository) Files(profile.Profile) (list []BootFile, err error) {
	for _, name := range []string{"vmlinuz", "initrd", "overlay"} {
		sum := sha256.Sum256([]byte(r.files[name]))
		f := BootFile{Name: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(r.files[name])), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(r.files[name])), nil
		}}
		if name != "overlay" && r.url != "" {
			f.URL = r.url + name
		}
		list = append(list, f)
	}
	return list, nil
}

func (repository) CommandLine(_ context.Context, node string, _ profile.Profile) (string, error) {
	return "kadeploy.node=" + node + " kadeploy.token='t'", nil
}

// tools is a directory with links to some of this machine's programs.
func tools(t *testing.T, scripts map[string]string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		at, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var basics = []string{"sh", "mkdir", "sha256sum", "cut", "cat", "mv", "rm", "chmod", "awk", "tail", "readlink", "dirname", "sleep", "sync", "nohup"}

func TestMiniOSReachesARunningNode(t *testing.T) {
	content := map[string]string{"vmlinuz": strings.Repeat("kernel\x00\r\n", 10_000), "initrd": "initrd\r\n\r\n", "overlay": "overlay"}
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/files/{name}", func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.PathValue("name") == "initrd" {
			http.Error(w, "gone", http.StatusNotFound)
			return
		}
		io.WriteString(w, content[r.PathValue("name")])
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, c := range []struct {
		name, url string
		tools     []string
		asked     int // of the HTTP server
		sent      int // over ssh
	}{
		{"bash alone", server.URL + "/files/", nil, 2, 2},
		{"curl", server.URL + "/files/", []string{"curl"}, 2, 2},
		{"no HTTP server", "", nil, 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.tools) > 0 {
				if _, err := exec.LookPath(c.tools[0]); err != nil {
					t.Skipf("%v", err)
				}
			}
			asked = 0
			h := &host{path: tools(t, nil, append(basics, c.tools...)...)}
			dir := filepath.Join(t.TempDir(), "kexec it")
			n := nodes{Config{Agents: absent{}, Boots: &machine{}, Remote: h, Kernels: repository{c.url, content}}}
			tk := task("/dev/vda", workflow.Request{})
			tk.Instance, tk.Cluster.Loading.Directory = "SetDeploymentEnvKexec", dir
			tk.Cluster.Nodes = []cluster.Node{{Name: "n1.lab", Address: netip.MustParseAddr("10.0.0.1")}}
			if err := (sendDeploymentKernel{n}).do(t.Context(), tk, "n1.lab"); err != nil {
				t.Fatal(err)
			}
			for name, want := range content {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
					t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
				}
			}
			sent := 0
			for _, line := range h.ran {
				if strings.Contains(line, "cat >") && !strings.Contains(line, "want ") {
					sent++
				}
			}
			if asked != c.asked || sent != c.sent {
				t.Errorf("%d files were asked for and %d sent, want %d and %d", asked, sent, c.asked, c.sent)
			}
			asked, h.ran = 0, nil
			if err := (sendDeploymentKernel{n}).do(t.Context(), tk, "n1.lab"); err != nil || asked != 0 || len(h.ran) != 1 {
				t.Errorf("again: %v, %d asked, %d commands: what is there is not fetched again", err, asked, len(h.ran))
			}
		})
	}
}

func TestKexecIntoTheMiniOS(t *testing.T) {
	for _, c := range []struct{ name, kexec, want string }{
		{"loads", `printf '%s\n' "$@" >>"$0.ran"`, ""},
		{"fails", `echo "kexec_load failed: no" >&2; exit 1`, "kexec: exit status 1: kexec_load failed: no"},
		{"is not there", "", "install kexec-tools"},
	} {
		t.Run(c.name, func(t *testing.T) {
			scripts := map[string]string{"systemctl": "true"}
			if c.kexec != "" {
				scripts["kexec"] = c.kexec
			}
			// The jump itself must not happen to the machine that runs the test.
			scripts["nohup"] = `printf '%s\n' "$@" >>"$0.ran"`
			names := make([]string, 0, len(basics))
			for _, b := range basics {
				if b != "nohup" {
					names = append(names, b)
				}
			}
			bin := tools(t, scripts, names...)
			dir := t.TempDir()
			for _, f := range []string{"vmlinuz", "initrd", "overlay"} {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(f), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files, err := repository{}.Files(profile.Profile{})
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(loading(files, cluster.Loading{}), "PATH=$PATH:/usr/sbin:/sbin", "", 1)
			line := script(text, map[string]string{
				"KADEPLOY_KEXEC_KERNEL": filepath.Join(dir, "vmlinuz"), "KADEPLOY_KEXEC_INITRD": filepath.Join(dir, "initrd.kexec"), "KADEPLOY_KEXEC_PARAMS": "a 'b'",
			})
			h := &host{path: bin}
			n := nodes{Config{Agents: absent{}, Boots: &machine{}, Remote: h}}
			tk := task("/dev/vda", workflow.Request{})
			tk.Cluster.Nodes = []cluster.Node{{Name: "n1.lab", Address: netip.MustParseAddr("10.0.0.1")}}
			_, err = n.overSSH(t.Context(), tk, "n1.lab", "kexec", line, nil)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if c.want != "" {
				if _, err := os.Stat(filepath.Join(bin, "nohup.ran")); err == nil {
					t.Error("the node was told to jump although nothing was loaded")
				}
				return
			}
			ran, err := os.ReadFile(filepath.Join(bin, "kexec.ran"))
			if err != nil {
				t.Fatal(err)
			}
			first := "-c\n-l\n--no-checks\n"
			if _, err := os.Stat("/sys/firmware/efi"); err == nil {
				first = "-a\n-l\n"
			}
			want := first + dir + "/vmlinuz\n--initrd=" + dir + "/initrd.kexec\n--command-line=a 'b'\n"
			if string(ran) != want {
				t.Errorf("kexec was called with\n%swant\n%s", ran, want)
			}
		})
	}
}

func TestOnlyTheTrustedSystemIsTrusted(t *testing.T) {
	bin := tools(t, nil, basics...)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	root := ""
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[1] == "/" && strings.HasPrefix(f[0], "/dev/") {
			root = f[0]
		}
	}
	for device, good := range map[string]bool{root: true, "/dev/null": false, "/dev/it's not there": false} {
		if device == "" {
			continue // the root of this machine is on no disk
		}
		var out bytes.Buffer
		status, err := (&host{path: bin}).Run(t.Context(), netip.Addr{}, rootIsOn([]string{"/dev/zero", device}), nil, &out, &out)
		if err != nil || (status == 0) != good {
			t.Errorf("rootIsOn(%s): status %d, %v: %s", device, status, err, &out)
		}
	}
}
