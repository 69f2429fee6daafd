package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestDurable deploys one machine and kills the coordinator three times meanwhile: when
// the machine boots the mini-OS, in the middle of the broadcast, and when the machine boots
// what was deployed. Whoever waits at the command sees nothing of it but that it took a
// little longer. The image goes as it is, as its unpacking takes seconds.
func TestDurable(t *testing.T) {
	r := start(t, 1)
	if out := r.run("kaenv3", "-a", r.envs+"/debian12-min.dsc"); out.status != 0 {
		t.Fatalf("kaenv3 -a: %s", out)
	}
	o := r.order("-e", "debian12-min", "-m", "node-1.lab", "-k", r.path("user.pub"), "-o", r.path("ok"), "-n", r.path("ko"),
		"--force-steps", once, "--no-prepare", "--custom-variable", "BOOTLOADER_NO_GRUB_FROM_DEST=1")

	o.await("the mini-OS starts", func(l live) bool {
		console, err := r.ConsoleTail("node-1", 1000)
		// What the firmware fetches has come then: it would not ask twice.
		return err == nil && l.running("SetDeploymentEnv", "wait_reboot") && strings.Contains(console, "Linux version")
	})
	r.replaceDaemon()

	at := o.await("a third of the image is unpacked", func(l live) bool { return 3*l.Progress.Nodes["node-1.lab"] >= l.Progress.Total && l.Progress.Total > 0 })
	r.replaceDaemon()

	o.await("what was deployed starts", func(l live) bool { return l.running("BootNewEnv", "wait_reboot") })
	sent, total, unpacked := r.metric("kadeploy_broadcast_sent_bytes_total"), at.Progress.Total, at.Progress.Nodes["node-1.lab"]
	r.replaceDaemon()

	text, stderr := o.end()
	t.Logf("of %d bytes %d were unpacked when the coordinator died; the next one sent %d", total, unpacked, sent)
	const slack = 2 << 20 // a chunk is verified when it is whole; the postinstall is sent, too
	if unpacked == total || sent == 0 || sent > total-unpacked+slack {
		t.Error("the broadcast did not go on where it was")
	}
	same(t, "nodes that are up", r.lines(r.path("ok")), "node-1.lab")
	same(t, "nodes that are not", r.lines(r.path("ko")))
	contains(t, "the text", text, "The deployment is successful on nodes\nnode-1.lab\n")
	for line, want := range map[string]int{"The coordinator was restarted; the deployment goes on": 3, "End of deployment on cluster lab": 1} {
		if n := strings.Count(text, line); n != want {
			t.Errorf("%q is in the text %d times, want %d", line, n, want)
		}
	}
	if strings.Contains(stderr, "rror") {
		t.Errorf("stderr: %s", stderr)
	}
	if n := strings.Count(r.daemonLog(), "node boots"); n != 1 {
		t.Errorf("the machine asked %d times what to boot, want once: it lost its power again", n)
	}
	contains(t, "the state", r.run("kanodes3", "-s", "-m", "node-1.lab").stdout, "deployed")
	checkSystem(t, r, "node-1")
	if out := r.run("kapower3", "--on", "-m", "node-1.lab"); out.status != 0 {
		t.Errorf("the machine is still taken: %s", out)
	}
}

// order is a deployment that runs, with its user at the command.
type order struct {
	r      *rig
	cmd    *exec.Cmd
	id     string
	text   strings.Builder
	stderr bytes.Buffer
	ended  chan struct{} // then text is whole
}

func (r *rig) order(args ...string) *order {
	r.t.Helper()
	o := &order{r: r, cmd: r.command("kadeploy3", args...), ended: make(chan struct{})}
	o.cmd.Stderr = &o.stderr
	stdout, err := o.cmd.StdoutPipe()
	if err == nil {
		err = o.cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { o.cmd.Process.Kill(); <-o.ended })
	id := make(chan string, 1)
	go func() {
		defer close(o.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			fmt.Fprintln(&o.text, lines.Text())
			if found := regexp.MustCompile(`^Deployment #(D-\S+) started`).FindStringSubmatch(lines.Text()); found != nil {
				id <- found[1]
			}
		}
		o.cmd.Wait()
	}()
	select {
	case o.id = <-id:
	case <-o.ended:
		r.t.Fatalf("kadeploy3 did not begin:\n%s%s", &o.text, &o.stderr)
	}
	return o
}

// live is the picture of a deployment.
type live struct {
	Macros []struct {
		Name    string
		Running map[string]int
	}
	Progress struct {
		Total int64
		Nodes map[string]int64
	}
}

func (l live) running(macro, micro string) bool {
	for _, m := range l.Macros {
		if m.Name == macro && m.Running[micro] > 0 {
			return true
		}
	}
	return false
}

// await looks at the deployment until it is where the test wants it.
func (o *order) await(what string, is func(live) bool) live {
	t := o.r.t
	t.Helper()
	began := time.Now()
	for {
		var l live
		text, err := o.r.get("/deployment/" + o.id + "/live")
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err == nil && is(l) {
			t.Logf("%s: after %.1f s", what, time.Since(began).Seconds())
			return l
		}
		select {
		case <-o.ended:
			t.Fatalf("kadeploy3 ended before %s:\n%s%s", what, &o.text, &o.stderr)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("%s: not within 5 minutes, %v; the last picture: %s", what, err, text)
		}
	}
}

// end waits for the end, and gives what the user saw.
func (o *order) end() (text, stderr string) {
	t := o.r.t
	t.Helper()
	select {
	case <-o.ended:
	case <-time.After(5 * time.Minute):
		t.Fatal("kadeploy3 does not end")
	}
	text, stderr = o.text.String(), o.stderr.String()
	t.Logf("kadeploy3: exit status %d\nstdout:\n%sstderr:\n%s", o.cmd.ProcessState.ExitCode(), text, stderr)
	if !o.cmd.ProcessState.Success() {
		t.Error("kadeploy3 failed")
	}
	return text, stderr
}

// get asks the coordinator's interface.
func (r *rig) get(path string) ([]byte, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.opts.Socket())
	}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := client.Get("http://localhost" + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, resp.Status, text)
	}
	return text, err
}

// metric is the value of a counter.
func (r *rig) metric(name string) int64 {
	r.t.Helper()
	text, err := r.get("/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return int64(v)
		}
	}
	r.t.Fatalf("no metric %s", name)
	return 0
}
