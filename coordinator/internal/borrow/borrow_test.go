package borrow

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"kadeploy/coordinator/internal/loan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alice = 1000

// lender is the client's end of a loan.
type lender struct {
	t    *testing.T
	conn *net.UnixConn
	in   *bufio.Reader
	id   string
	done chan error
}

func newLender(t *testing.T, d *Desk, uid int) *lender {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := &lender{t: t, done: make(chan error, 1)}
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			err = d.Serve(conn.(*net.UnixConn), uid)
		}
		l.done <- err
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.conn = conn.(*net.UnixConn)
	t.Cleanup(func() { l.conn.Close() })
	l.in = bufio.NewReader(conn)
	var o loan.Opened
	if err := json.Unmarshal([]byte(l.hear()), &o); err != nil {
		t.Fatal(err)
	}
	l.id, _ = loan.ID(o.Client)
	return l
}

func (l *lender) hear() string {
	l.t.Helper()
	l.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, err := l.in.ReadString('\n')
	if err != nil && err != io.EOF {
		l.t.Fatal(err)
	}
	return line
}

// say sends a line with descriptors and returns the answer.
func (l *lender) say(line string, files ...*os.File) string {
	l.t.Helper()
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var oob []byte
	if fds != nil {
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := l.conn.WriteMsgUnix([]byte(line), oob, nil); err != nil {
		l.t.Fatal(err)
	}
	return l.hear()
}

func (l *lender) end() {
	l.t.Helper()
	l.conn.Close()
	select {
	case <-l.done:
	case <-time.After(5 * time.Second):
		l.t.Fatal("the loan does not end with its connection")
	}
}

func file(t *testing.T, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestALentFileIsTheOneThatWasOpened(t *testing.T) {
	d := New(nil)
	defer d.Close()
	l := newLender(t, d, alice)
	f := file(t, "mine")
	if got := l.say(`{"path":"/home/alice/image"}`+"\n", f); got != "{}\n" {
		t.Fatalf("the file is answered with %s", got)
	}
	// What the name stands for now does not matter.
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	got, err := d.File(l.id, alice, "/home/alice/image")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if data, err := io.ReadAll(io.NewSectionReader(got, 0, 100)); err != nil || string(data) != "mine" {
		t.Errorf("read %q, %v", data, err)
	}
	for name, bad := range map[string]func() (*os.File, error){
		"another user": func() (*os.File, error) { return d.File(l.id, alice+1, "/home/alice/image") },
		"another name": func() (*os.File, error) { return d.File(l.id, alice, "/etc/shadow") },
		"another loan": func() (*os.File, error) { return d.File("x", alice, "/home/alice/image") },
	} {
		if f, err := bad(); err == nil {
			f.Close()
			t.Errorf("%s gets the file", name)
		}
	}
	l.end()
	if _, err := d.File(l.id, alice, "/home/alice/image"); err == nil {
		t.Error("the loan outlives its connection")
	}
	if data, err := io.ReadAll(io.NewSectionReader(got, 0, 100)); err != nil || string(data) != "mine" {
		t.Errorf("a file that is being read broke off: %q, %v", data, err)
	}
}

func TestWhatIsNoReadableFileIsRefused(t *testing.T) {
	d := New(nil)
	defer d.Close()
	f := file(t, "x")
	open := func(path string, flags int) *os.File {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		g := os.NewFile(uintptr(fd), path)
		t.Cleanup(func() { g.Close() })
		return g
	}
	for _, c := range []struct {
		name, line string
		files      []*os.File
		want       string
	}{
		{"directory", `{"path":"/d"}`, []*os.File{open(t.TempDir(), unix.O_RDONLY)}, "not a regular file"},
		{"device", `{"path":"/d"}`, []*os.File{open("/dev/zero", unix.O_RDONLY)}, "not a regular file"},
		{"O_PATH", `{"path":"/d"}`, []*os.File{open(f.Name(), unix.O_PATH)}, "not opened for reading"},
		{"write only", `{"path":"/d"}`, []*os.File{open(f.Name(), unix.O_WRONLY)}, "not opened for reading"},
		{"no name", `{}`, []*os.File{f}, "names no file"},
		{"no JSON", `path`, []*os.File{f}, "not an offer"},
		{"no descriptor", `{"path":"/d"}`, nil, "no descriptor"},
		{"two descriptors", `{"path":"/d"}`, []*os.File{f, f}, "more than one descriptor"},
		{"many descriptors", `{"path":"/d"}`, []*os.File{f, f, f, f, f, f, f, f, f, f, f, f}, "more than one descriptor"},
		{"long line", strings.Repeat("x", loan.MaxLine+10), []*os.File{f}, "longer than"},
	} {
		before := descriptorCount(t)
		l := newLender(t, d, alice)
		if got := l.say(c.line+"\n", c.files...); !strings.Contains(got, c.want) {
			t.Errorf("%s: answered %q, want %q", c.name, got, c.want)
		}
		l.end()
		if after := descriptorCount(t); after > before {
			t.Errorf("%s: %d descriptors are left open", c.name, after-before)
		}
	}
}

func descriptorCount(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestAUsersLoansAreLimited(t *testing.T) {
	d := New(nil)
	f := file(t, "x")
	first := newLender(t, d, alice)
	for i := range loan.MaxFiles {
		if got := first.say(fmt.Sprintf("{\"path\":\"/f%d\"}\n", i), f); got != "{}\n" {
			t.Fatalf("file %d: %s", i, got)
		}
	}
	if got := first.say(`{"path":"/one-more"}`+"\n", f); !strings.Contains(got, "limit") {
		t.Errorf("one file more than the limit: %s", got)
	}
	if got := first.say(`{"path":"/f0"}`+"\n", f); !strings.Contains(got, "lent before") {
		t.Errorf("the same name twice: %s", got)
	}
	for range maxLoans - 1 {
		newLender(t, d, alice)
	}
	if l := newLender(t, d, alice); l.id != "" {
		t.Error("one loan more than the limit is taken")
	}
	if l := newLender(t, d, alice+1); l.id == "" {
		t.Error("another user's loan is refused")
	}
	d.Close()
	if l := newLender(t, d, alice+2); l.id != "" {
		t.Error("a desk that is closed takes a loan")
	}
}
