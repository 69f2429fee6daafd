package console

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func service(t *testing.T, cfg Config) *Service {
	t.Helper()
	s := New(cfg)
	t.Cleanup(s.Close)
	return s
}

func order(id, user, node, line string) Order {
	return Order{ID: id, User: user, Node: node, Cluster: &cluster.Cluster{Remote: cluster.RemoteOps{Console: cluster.Command{Line: line}}}}
}

func open(t *testing.T, s *Service, o Order) View {
	t.Helper()
	v, err := s.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func dial(t *testing.T, v View) net.Conn {
	t.Helper()
	u, err := url.Parse(v.URI)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// expect reads until a text has come.
func expect(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	var got strings.Builder
	one := make([]byte, 1)
	for !strings.Contains(got.String(), text) {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatalf("%q did not come, only %q: %v", text, got.String(), err)
		}
		got.Write(one)
	}
	return got.String()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("never: " + what)
		}
	}
}

func TestAConsoleIsATerminalOfTheCommand(t *testing.T) {
	s := service(t, Config{Connector: "ssh -q"})
	v := open(t, s, order("C-1", "alice", "n-1.lab", "tty >/dev/null && echo on a terminal of HOSTNAME_SHORT, HOSTNAME_FQDN by DEFAULT_CONNECTOR; read x; echo got $x; exit 3"))
	conn := dial(t, v)
	expect(t, conn, "on a terminal of n-1, n-1.lab by ssh -q\r\n")
	if v, ok := s.Console("C-1"); !ok || !v.Attached || v.Done {
		t.Errorf("attached: %+v", v)
	}
	late := dial(t, v)
	if data, err := io.ReadAll(late); err != nil || string(data) != "[Kaconsole] console already attached\r\n" {
		t.Errorf("a second client reads %q, %v", data, err)
	}
	fmt.Fprint(conn, "hello\r")
	expect(t, conn, "got hello\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the command's end: %v", err)
	}
	eventually(t, "the console ends", func() bool { v, _ := s.Console("C-1"); return v.Done })
	if v, _ := s.Console("C-1"); v.Err == nil || !strings.Contains(v.Err.Error(), "exit status 3") || v.Attached {
		t.Errorf("%+v", v)
	}
	if _, err := net.DialTimeout("tcp", conn.RemoteAddr().String(), time.Second); err == nil {
		t.Error("the port outlives its console")
	}
}

// stubborn ignores hang-ups, and starts another process that does. Its pids are those that it has told so far.
func stubborn(t *testing.T) (line string, pids func() []int) {
	dir := t.TempDir()
	line = fmt.Sprintf("trap '' HUP; echo $$ > %[1]s/a; (trap '' HUP TERM; sleep 1000 & echo $! > %[1]s/b; wait) & echo started; while :; do sleep 1000; done", dir)
	return line, func() (all []int) {
		for _, name := range []string{"a", "b"} {
			data, _ := os.ReadFile(filepath.Join(dir, name))
			if !strings.HasSuffix(string(data), "\n") {
				break // not there yet, or opened but not written
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, pid)
		}
		return all
	}
}

func alive(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(state), ") Z ") && syscall.Kill(pid, 0) == nil
}

func TestNothingIsLeftOfAConsole(t *testing.T) {
	for name, stop := range map[string]func(s *Service, conn net.Conn){
		"the client disappears": func(_ *Service, conn net.Conn) { conn.Close() },
		"the client resets": func(_ *Service, conn net.Conn) {
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		},
		"it is ended":           func(s *Service, _ net.Conn) { s.End("C-1", "") },
		"the coordinator stops": func(s *Service, _ net.Conn) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := service(t, Config{})
			line, pids := stubborn(t)
			conn := dial(t, open(t, s, order("C-1", "alice", "n-1.lab", line)))
			expect(t, conn, "started")
			all := []int{}
			eventually(t, "both processes run", func() bool {
				all = pids()
				return len(all) == 2
			})
			stop(s, conn)
			for _, pid := range all {
				eventually(t, "the command's processes end", func() bool { return !alive(pid) })
			}
			eventually(t, "the console ends", func() bool { v, ok := s.Console("C-1"); return !ok || v.Done })
		})
	}
}

func TestOneConsolePerNodeAndLimits(t *testing.T) {
	s := service(t, Config{PerUser: 2, Total: 3})
	code := func(o Order) apperr.Code {
		_, err := s.Open(o)
		c, ok := apperr.Of(err)
		if !ok {
			c = -1
		}
		return c
	}
	for _, c := range []struct {
		o    Order
		want apperr.Code
	}{
		{order("C-1", "alice", "n-1", "cat"), -1},
		{order("C-2", "bob", "n-1", "cat"), apperr.ConflictingElements},
		{order("C-3", "alice", "n-2", "cat"), -1},
		{order("C-4", "alice", "n-3", "cat"), apperr.ConflictingElements},
		{order("C-5", "bob", "n-3", "cat"), -1},
		{order("C-6", "bob", "n-4", "cat"), apperr.ConflictingElements},
	} {
		if got := code(c.o); got != c.want {
			t.Errorf("%s: %v, want %v", c.o.ID, got, c.want)
		}
	}
	s.End("C-1", "")
	if got := code(order("C-7", "carol", "n-1", "cat")); got != -1 {
		t.Errorf("after the end of the first: %v", got)
	}
}

func TestOnlyTheCallersAddressMayAttach(t *testing.T) {
	s := service(t, Config{Attach: 300 * time.Millisecond})
	o := order("C-1", "alice", "n-1", "echo secret; cat")
	o.From = netip.MustParseAddr("192.0.2.7") // not this host
	v := open(t, s, o)
	u, _ := url.Parse(v.URI)
	conn := dial(t, View{URI: "tcp://127.0.0.1:" + u.Port()})
	if data, err := io.ReadAll(conn); len(data) > 0 {
		t.Errorf("a stranger reads %q, %v", data, err)
	}
	eventually(t, "a console that nobody attaches to ends", func() bool { v, _ := s.Console("C-1"); return v.Done })
	if v, _ := s.Console("C-1"); v.Err == nil || !strings.Contains(v.Err.Error(), "nobody attached") {
		t.Errorf("%+v", v)
	}
}

func TestAFarewellIsShown(t *testing.T) {
	s := service(t, Config{})
	conn := dial(t, open(t, s, order("C-1", "alice", "n-1", "echo hello; cat")))
	expect(t, conn, "hello")
	s.End("C-1", "client killed")
	line, _ := bufio.NewReader(conn).ReadString('!')
	if !strings.Contains(line, "[Kaconsole] client killed") {
		t.Errorf("%q", line)
	}
	if _, ok := s.Console("C-1"); ok {
		t.Error("it is not forgotten")
	}
}
