// Package launchtest has a real ssh server for tests of launchers.
package launchtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Server is a real sshd in a network namespace of its own, with a throw-away configuration
// and keys. It answers at every 127.x.y.z there; 10.9.0.2 is dead.
type Server struct {
	Dir string // of its files, which all "hosts" share; removed at the end
	Tmp string // TMPDIR of what runs on the "hosts"
	pid int
}

const sshPort = "22"

// NewServer starts one, or skips the test without root.
func NewServer(t *testing.T) *Server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace: run the tests as root")
	}
	const sshd = "/usr/sbin/sshd" // it wants its absolute path
	if _, err := os.Stat(sshd); err != nil {
		t.Fatal("needs the package openssh-server: run scripts/install-packages.sh")
	}
	s := &Server{Dir: t.TempDir()}
	os.Chmod(s.Dir, 0o755)
	s.Tmp = filepath.Join(s.Dir, "tmp")
	must(t, os.Mkdir(s.Tmp, 0o777))
	must(t, os.MkdirAll("/run/sshd", 0o755)) // for privilege separation, as the service does
	for _, key := range []string{"host", "user", "other"} {
		Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(s.Dir, key))
	}
	must(t, os.WriteFile(s.path("sshd_config"), []byte(strings.NewReplacer("DIR", s.Dir).Replace(`
ListenAddress 0.0.0.0
HostKey DIR/host
AuthorizedKeysFile DIR/user.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
MaxStartups 1000
PidFile none
SetEnv TMPDIR=DIR/tmp
`)), 0o600))
	pub, err := os.ReadFile(s.path("host.pub"))
	must(t, err)
	other, err := os.ReadFile(s.path("other.pub"))
	must(t, err)
	// The host at 127.0.0.99 has another key than the user knows.
	must(t, os.WriteFile(s.path("known_hosts"), []byte("127.0.0.99 "+string(other)+"!127.0.0.99,127.0.0.* "+string(pub)), 0o600))
	cmd := exec.Command("unshare", "-n", "sh", "-ec", `ip link set lo up
		ip link add void type veth peer name end; ip addr add 10.9.0.1/24 dev void; ip link set end up; ip link set void up
		ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev void # what is sent there vanishes
		exec `+sshd+" -D -e -f "+s.path("sshd_config"))
	log, err := os.Create(s.path("log"))
	must(t, err)
	cmd.Stderr = log
	must(t, cmd.Start())
	s.pid = cmd.Process.Pid
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
		if t.Failed() {
			b, _ := os.ReadFile(s.path("log"))
			t.Logf("sshd said:\n%s", b[max(0, len(b)-4000):])
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if b, _ := os.ReadFile(s.path("log")); strings.Contains(string(b), "listening on") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("sshd did not start within 10 s")
		}
	}
	return s
}

func (s *Server) path(name string) string { return filepath.Join(s.Dir, name) }

// Inside is a command that runs another in the server's network namespace.
func (s *Server) Inside() []string { return []string{"nsenter", "-t", strconv.Itoa(s.pid), "-n"} }

// SSH is the user's ssh command, in the server's namespace.
func (s *Server) SSH() []string {
	return append(s.Inside(), "ssh", "-F", "none", "-i", s.path("user"),
		"-o", "UserKnownHostsFile="+s.path("known_hosts"), "-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes")
}

// left is what the launches have not cleaned up on the "hosts".
func (s *Server) left(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(s.Tmp + "/*")
	must(t, err)
	out, err := exec.Command("sh", "-c", "nsenter -t "+strconv.Itoa(s.pid)+" -n ss -Htnp state established '( sport = :"+sshPort+" )'").Output()
	must(t, err)
	for line := range strings.Lines(string(out)) {
		found = append(found, "connection: "+strings.TrimSpace(line))
	}
	return found
}

// Clean waits a little for the hosts' side to end, and reports what stays.
func (s *Server) Clean(t *testing.T) {
	t.Helper()
	var left []string
	for range 100 {
		if left = s.left(t); len(left) == 0 {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
	t.Errorf("left behind: %q", left)
}

// Hosts is n names from 127.0.0.from on.
func Hosts(from, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("127.0.0.%d", from+i))
	}
	return names
}

// Run runs a command, which must succeed.
func Run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
