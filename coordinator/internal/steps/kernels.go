package steps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// Kernels is the mini-OS for nodes that load it themselves, without their firmware.
type Kernels interface {
	// Files are what a node loads for a profile: the kernel, then the parts of the initial RAM disk.
	Files(p profile.Profile) ([]BootFile, error)
	// CommandLine is what the boot script would have given to the kernel, with a new one-time token.
	CommandLine(ctx context.Context, node string, p profile.Profile) (string, error)
}

// BootFile is one file that a node loads.
type BootFile struct {
	Name   string // on the node, without a directory
	URL    string // where the node fetches it; "": it has to be sent
	SHA256 string // hexadecimal
	Size   int64  // bytes
	Open   func() (io.ReadCloser, error)
}

// Site runs a command line of the site's on the coordinator's host.
type Site interface {
	Run(ctx context.Context, line string) (stdout, stderr string, err error)
}

// sendDeploymentKernel brings kernel and initrd of the mini-OS to a node that runs
// another system. What is there already, by its hash, is not fetched again.
type sendDeploymentKernel struct{ nodes }

func (s sendDeploymentKernel) do(ctx context.Context, t *workflow.Task, node string) error {
	one := *t
	one.Nodes = []string{node}
	s.settle(ctx, &one)
	if strings.HasSuffix(t.Instance, "Trusted") {
		if err := s.trust(ctx, t, node); err != nil {
			return err
		}
	}
	p, err := bootProfile(&workflow.Task{Request: t.Request, Cluster: t.Cluster, Argument: workflow.ToDeploy}, node)
	if err != nil {
		return err
	}
	files, err := s.Kernels.Files(p)
	if err != nil {
		return err
	}
	dir := t.Cluster.Loading.Directory
	missing, err := s.fetch(ctx, t, node, dir, files)
	if err != nil || len(missing) == 0 {
		return err
	}
	for _, f := range missing {
		if err := s.put(ctx, t, node, path.Join(dir, f.Name), 0o600, f.Open); err != nil {
			return err
		}
	}
	if missing, err = s.fetch(ctx, t, node, dir, withoutURL(files)); err == nil && len(missing) > 0 {
		err = fmt.Errorf("%s was damaged on its way to the node: its hash is wrong", missing[0].Name)
	}
	return err
}

func withoutURL(files []BootFile) []BootFile {
	out := make([]BootFile, len(files))
	for i, f := range files {
		f.URL = ""
		out[i] = f
	}
	return out
}

// fetch has the node check what it has and fetch the rest by itself, with whatever it
// has for that; it returns what has to be sent.
func (n nodes) fetch(ctx context.Context, t *workflow.Task, node, dir string, files []BootFile) (missing []BootFile, err error) {
	var b strings.Builder
	b.WriteString(fetchFunctions)
	fmt.Fprintf(&b, "umask 077; mkdir -p %s && cd %s || exit 1\n", quote(dir), quote(dir))
	for _, f := range files {
		fmt.Fprintf(&b, "want %s %s %s\n", quote(f.Name), f.SHA256, quote(f.URL))
	}
	out, err := n.execute(ctx, t, node, "fetch the mini-OS", b.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if strings.Contains("\n"+out, "\nmissing "+f.Name+"\n") {
			missing = append(missing, f)
		}
	}
	return missing, nil
}

// fetchFunctions define want NAME SHA256 URL, which prints "missing NAME" for what
// cannot be fetched. bash speaks HTTP by itself: minimal systems have neither curl nor wget.
const fetchFunctions = `
good() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]; }
get() {
	if command -v curl >/dev/null; then curl -fsS -o "$1" "$2"
	elif command -v wget >/dev/null; then wget -q -O "$1" "$2"
	elif [ -x /bin/bash ]; then /bin/bash -c '
		rest=${2#http://}; at=${rest%%/*}; port=${at##*:}; [ "$port" != "$at" ] || port=80
		exec 3<>"/dev/tcp/${at%:*}/$port" || exit 1
		printf "GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n" "${rest#*/}" "$at" >&3
		read -r protocol status words <&3; [ "$status" = 200 ] || exit 1
		while read -r line <&3; do [ "$line" != $'"'\r'"' ] || break; done
		cat <&3 >"$1"' get "$1" "$2"
	else return 1
	fi
}
want() {
	good "$1" "$2" && return
	if [ -n "$3" ] && get "$1.part" "$3" && good "$1.part" "$2"; then mv "$1.part" "$1" && return; fi
	rm -f "$1.part"
	echo "missing $1"
}
`

// put writes a file on the node: through its agent if there is one, else over ssh.
func (n nodes) put(ctx context.Context, t *workflow.Task, node, to string, mode uint32, open func() (io.ReadCloser, error)) error {
	content, err := open()
	if err != nil {
		return err
	}
	defer content.Close()
	if n.resident(node) {
		return n.putByAgent(ctx, node, to, mode, content)
	}
	part := quote(to + ".part")
	line := fmt.Sprintf("umask 077; mkdir -p %s && cat >%s && chmod %o %s && mv %s %s", quote(path.Dir(to)), part, mode, part, part, quote(to))
	_, err = n.overSSH(ctx, t, node, "send "+to, line, content)
	return err
}

func (n nodes) putByAgent(ctx context.Context, node, to string, mode uint32, content io.Reader) error {
	agent, err := n.session(ctx, node)
	if err != nil {
		return err
	}
	stream, err := agent.PutFile(ctx)
	if err != nil {
		return plain(err)
	}
	err = stream.Send(&agentv1.PutFileRequest{Kind: &agentv1.PutFileRequest_Open{Open: &agentv1.PutFileOpen{Path: to, Mode: mode}}})
	b := make([]byte, 64<<10)
	for err == nil {
		var count int
		if count, err = content.Read(b); count > 0 {
			if sent := stream.Send(&agentv1.PutFileRequest{Kind: &agentv1.PutFileRequest_Data{Data: b[:count]}}); sent != nil {
				break // CloseAndRecv has the reason
			}
		}
	}
	if err != nil && err != io.EOF {
		return plain(err)
	}
	_, err = stream.CloseAndRecv()
	return plain(err)
}

// intoMiniOS has the node load the mini-OS that was sent, and jump into it.
func (n nodes) intoMiniOS(ctx context.Context, t *workflow.Task, node string) error {
	if t.Again {
		// A token that is made anew would shut out the agent that comes up with the first one.
		at, err := n.look(ctx, t, node)
		if err != nil || at == gone || at == unknown && !n.answers(ctx, t, node) {
			return err
		}
	}
	p, err := bootProfile(t, node)
	if err != nil {
		return err
	}
	files, err := n.Kernels.Files(p)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(t.Instance, "Trusted") { // else switch_pxe has said so before
		if err := n.Profiles.SetBootProfile(ctx, node, t.Request.ID, p); err != nil {
			return err
		}
	}
	if err := n.beforeKexec(ctx, t, node); err != nil {
		return err
	}
	load := t.Cluster.Loading
	if len(load.Script) > 0 {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(load.Script)), nil }
		if err := n.put(ctx, t, node, path.Join(load.Directory, kexecScript), 0o700, open); err != nil {
			return err
		}
	}
	parameters, err := n.Kernels.CommandLine(ctx, node, p)
	if err != nil {
		return err
	}
	if err := n.leaving(ctx, t, []string{node}); err != nil {
		return err
	}
	variables := n.variables(t)
	variables["KADEPLOY_KEXEC_KERNEL"] = path.Join(load.Directory, files[0].Name)
	variables["KADEPLOY_KEXEC_INITRD"] = path.Join(load.Directory, "initrd.kexec")
	variables["KADEPLOY_KEXEC_PARAMS"] = parameters
	_, err = n.execute(ctx, t, node, "kexec", loading(files, load), variables)
	return err
}

// loading is the script that loads the mini-OS and leaves for it a moment later, so
// that the answer gets out; or has the site's script do it. The file systems of the
// running system stay clean: they are synced and made read-only, as the trusted one
// is kept. The kernel does the latter when it comes to it; it is waited for, a second
// at most. As on the way into the deployed system, the checksums of a kernel that is
// left for at once are not wanted (agent/internal/kexec); where that is refused, the
// kernel makes them.
func loading(files []BootFile, load cluster.Loading) string {
	var b strings.Builder
	b.WriteString("set -e\ncd \"$(dirname \"$KADEPLOY_KEXEC_KERNEL\")\"\ncat")
	for _, f := range files[1:] {
		b.WriteString(" " + quote(f.Name))
	}
	b.WriteString(" >\"$KADEPLOY_KEXEC_INITRD\"\n")
	if load.DisableSwap {
		b.WriteString("swapoff -a\n")
	}
	if len(load.Script) > 0 {
		b.WriteString("exec ./" + kexecScript + "\n")
		return b.String()
	}
	b.WriteString(`PATH=$PATH:/usr/sbin:/sbin
command -v kexec >/dev/null || { echo "the system has no kexec: install kexec-tools in it" >&2; exit 1; }
load() { kexec "$@" "$KADEPLOY_KEXEC_KERNEL" --initrd="$KADEPLOY_KEXEC_INITRD" --command-line="$KADEPLOY_KEXEC_PARAMS"; }
{ [ ! -d /sys/firmware/efi ] && load -c -l --no-checks 2>/dev/null; } || load -a -l 2>/dev/null || load -l
rm -f "$KADEPLOY_KEXEC_INITRD"
nohup /bin/sh -c 'sleep 0.2 || sleep 1
sync
echo u >/proc/sysrq-trigger
for i in 1 2 3 4 5 6 7 8 9 10; do
	grep -q "^/dev/[^ ]* [^ ]* [^ ]* rw" /proc/self/mounts || break
	sleep 0.1 || { sleep 1; break; }
done
kexec -e || systemctl kexec' >/dev/null 2>&1 </dev/null &
`)
	return b.String()
}

// kernelTime is what fetching the mini-OS may take.
const kernelTime = 5 * time.Minute
