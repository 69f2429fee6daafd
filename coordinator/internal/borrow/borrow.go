// Package borrow holds the files that local clients lend to the coordinator:
// open descriptors, passed over the Unix socket (docs/api.md, "Files of the
// client"). The coordinator reads what the user's own process has opened; names
// are only labels, and nothing is opened by them. A loan lasts as long as its
// connection. The package never reads a file.
package borrow

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kadeploy/coordinator/internal/loan"
)

// Limits of what a host's users may keep open here.
const (
	maxLoans  = 16 // of one user at once
	offerTime = 30 * time.Second
)

// Desk keeps the loans of all users.
type Desk struct {
	log *slog.Logger

	mu     sync.Mutex
	loans  map[string]*given
	closed bool
	wg     sync.WaitGroup
}

// given is one loan.
type given struct {
	uid   int
	conn  *net.UnixConn
	files map[string]*os.File // by the name that the client gave
}

// New makes a Desk. logger may be nil.
func New(logger *slog.Logger) *Desk {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Desk{log: logger, loans: make(map[string]*given)}
}

// Serve takes what a user lends over a connection until he closes it. The caller
// has answered the upgrade, and no byte of the client has been read after that.
func (d *Desk) Serve(conn *net.UnixConn, uid int) error {
	defer conn.Close()
	id := rand.Text()
	if err := d.open(id, &given{uid: uid, conn: conn, files: make(map[string]*os.File)}); err != nil {
		return errors.Join(err, say(conn, loan.Answer{Error: err.Error()}))
	}
	defer d.end(id)
	if err := say(conn, loan.Opened{Client: loan.Client(id)}); err != nil {
		return err
	}
	for {
		line, file, err := receive(conn)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.Join(err, say(conn, loan.Answer{Error: err.Error()}))
		}
		var answer loan.Answer
		if err := d.take(id, line, file); err != nil {
			answer.Error = err.Error()
			err = file.Close()
			d.log.Info("a lent file was refused", "user", uid, "error", answer.Error, "close", err)
		}
		if err := say(conn, answer); err != nil {
			return err
		}
	}
}

func (d *Desk) open(id string, g *given) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("the coordinator is stopping")
	}
	same := 0
	for _, other := range d.loans {
		if other.uid == g.uid {
			same++
		}
	}
	if same >= maxLoans {
		return fmt.Errorf("you lend files to %d operations already: wait until one of them ends", same)
	}
	d.loans[id] = g
	d.wg.Add(1)
	return nil
}

func (d *Desk) end(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.loans[id].files {
		f.Close() // was only read
	}
	delete(d.loans, id)
	d.wg.Done()
}

// take notes one file of a loan.
func (d *Desk) take(id string, line []byte, file *os.File) error {
	offer, err := loan.ParseOffer(line)
	if err != nil {
		return err
	}
	if err := readable(file); err != nil {
		return fmt.Errorf("%s: %w", offer.Path, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	files := d.loans[id].files
	if files[offer.Path] != nil {
		return fmt.Errorf("%s was lent before", offer.Path)
	}
	if len(files) >= loan.MaxFiles {
		return fmt.Errorf("%d files are lent already, and that is the limit", len(files))
	}
	files[offer.Path] = file
	return nil
}

// readable checks that the descriptor is of a regular file that its opener may
// read: O_PATH gives descriptors of files that one may not.
func readable(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var flags int
	var st unix.Stat_t
	var failure error
	if err := raw.Control(func(fd uintptr) {
		if flags, failure = unix.FcntlInt(fd, unix.F_GETFL, 0); failure == nil {
			failure = unix.Fstat(int(fd), &st)
		}
	}); err != nil || failure != nil {
		return errors.Join(err, failure)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is not a regular file")
	case flags&unix.O_PATH != 0 || flags&unix.O_ACCMODE == unix.O_WRONLY:
		return errors.New("it was not opened for reading")
	}
	return nil
}

// File is a lent file, open; its reader must not move its position, which it
// shares with the lender. Only whoever lent it gets it. The caller closes it.
func (d *Desk) File(id string, uid int, name string) (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.loans[id]
	if g == nil || g.uid != uid {
		return nil, errors.New("the client that lends its files has gone")
	}
	f := g.files[name]
	if f == nil {
		return nil, fmt.Errorf("the client does not lend %s", name)
	}
	return duplicate(f, name)
}

func duplicate(f *os.File, name string) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	copied := -1
	var failure error
	err = raw.Control(func(fd uintptr) { copied, failure = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failure); err != nil {
		return nil, fmt.Errorf("duplicate the descriptor of %s: %w", name, err)
	}
	return os.NewFile(uintptr(copied), name), nil
}

// Close ends all loans, and takes no more.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	for _, g := range d.loans {
		g.conn.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

func say(conn net.Conn, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(offerTime)); err != nil {
		return err
	}
	_, err = conn.Write(append(data, '\n'))
	return err
}

// receive reads one line and the one descriptor that comes with it. It waits for
// its beginning as long as it takes, and for its end only offerTime.
func receive(conn *net.UnixConn) (line []byte, file *os.File, err error) {
	var fds []int
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}()
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	buf := make([]byte, loan.MaxLine)
	oob := make([]byte, unix.CmsgSpace(4*8)) // more than one is refused, not leaked
	for n := 0; ; {
		got, noob, flags, _, err := conn.ReadMsgUnix(buf[n:], oob)
		more, perr := descriptors(oob[:noob])
		fds = append(fds, more...)
		switch n += got; {
		case err != nil && n > 0:
			return nil, nil, fmt.Errorf("the line broke off: %w", err)
		case err != nil:
			return nil, nil, closed(err)
		case got == 0:
			return nil, nil, io.EOF
		case perr != nil:
			return nil, nil, perr
		case flags&unix.MSG_CTRUNC != 0 || len(fds) > 1:
			return nil, nil, errors.New("more than one descriptor came with a line")
		}
		if buf[n-1] == '\n' {
			line = bytes.TrimSuffix(buf[:n], []byte("\n"))
			break
		}
		if n == len(buf) {
			return nil, nil, fmt.Errorf("a line is longer than %d bytes", len(buf))
		}
		if err := conn.SetReadDeadline(time.Now().Add(offerTime)); err != nil {
			return nil, nil, err
		}
	}
	if len(fds) == 0 {
		return nil, nil, errors.New("no descriptor came with the line")
	}
	return line, os.NewFile(uintptr(fds[0]), "lent"), nil
}

func closed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return io.EOF
	}
	return err
}

// descriptors are those in ancillary data; ours to close from now on.
func descriptors(oob []byte) (fds []int, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // of another kind
		}
		fds = append(fds, got...)
	}
	return fds, nil
}
