package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// maxTail bounds what is read of a console log to find its last lines.
const maxTail = 256 << 10

// ConsoleTail returns the last lines of what a node wrote on its serial port
// since the lab came up.
func (l *Lab) ConsoleTail(node string, lines int) (string, error) {
	n, err := l.Node(node)
	if err != nil {
		return "", err
	}
	end, err := readEnd(n.ConsoleLog, maxTail)
	if err != nil {
		return "", fmt.Errorf("console of %s: %w", n.Name, err)
	}
	return lastLines(end, lines), nil
}

func readEnd(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, info.Size()-limit), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// lastLines makes a terminal's output plain text and returns its last lines.
func lastLines(output []byte, count int) string {
	text := strings.TrimRight(plainText(output), "\n")
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// plainText drops what only a terminal understands: escape sequences
// (ECMA-48 5.4: ESC, or ESC [ parameters final) and control characters.
func plainText(output []byte) string {
	var text strings.Builder
	for len(output) > 0 {
		c := output[0]
		output = output[1:]
		switch {
		case c == 0x1b:
			output = skipEscape(output)
		case c == '\n' || c == '\t' || c >= ' ' && c != 0x7f:
			text.WriteByte(c)
		}
	}
	return text.String()
}

func skipEscape(rest []byte) []byte {
	if len(rest) == 0 {
		return nil
	}
	if rest[0] != '[' {
		return rest[1:]
	}
	final := bytes.IndexFunc(rest[1:], func(r rune) bool { return r >= '@' && r <= '~' })
	if final < 0 {
		return nil
	}
	return rest[final+2:]
}

// Leave is the key that ends Attach: ctrl-].
const Leave = 0x1d

// Attach connects a node's serial port with in and out, until the Leave key,
// the end of in, or the end of ctx. A read of in may still be going on when it
// returns. QEMU serves one such connection at a time.
func (l *Lab) Attach(ctx context.Context, node string, in io.Reader, out io.Writer) error {
	n, err := l.Node(node)
	if err != nil {
		return err
	}
	if err := l.checkConsoleFree(ctx, n); err != nil {
		return fmt.Errorf("attach to the console of %s: %w", n.Name, err)
	}
	connection, err := new(net.Dialer).DialContext(ctx, "unix", n.ConsoleSocket)
	if err != nil {
		return fmt.Errorf("attach to the console of %s: %w", n.Name, err)
	}
	typed := make(chan error, 1)
	shown := make(chan error, 1)
	go func() { typed <- keysTo(connection, in) }()
	go func() {
		_, err := io.Copy(out, connection)
		shown <- err
	}()
	select {
	case <-ctx.Done():
	case err = <-typed:
	case err = <-shown:
		shown <- nil
	}
	connection.Close()
	<-shown // nothing is written to out from here on
	if err != nil {
		return fmt.Errorf("console of %s: %w", n.Name, err)
	}
	return nil
}

// keysTo copies what is typed, up to the Leave key.
func keysTo(w io.Writer, in io.Reader) error {
	keys := make([]byte, 1024)
	for {
		n, err := in.Read(keys)
		typed, _, leave := bytes.Cut(keys[:n], []byte{Leave})
		if _, err := w.Write(typed); err != nil {
			return err
		}
		if leave || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// checkConsoleFree reports a console that somebody is attached to: a second
// connection would be accepted, and stay silent.
func (l *Lab) checkConsoleFree(ctx context.Context, n Node) error {
	m, err := dialMonitor(ctx, n.QMPSocket)
	if err != nil {
		return err
	}
	defer m.close()
	var devices []struct {
		Label    string `json:"label"`
		Filename string `json:"filename"`
	}
	if err := m.execute(ctx, "query-chardev", nil, &devices); err != nil {
		return err
	}
	for _, d := range devices {
		if d.Label == "console" && !strings.HasPrefix(d.Filename, "disconnected:") {
			return errors.New("somebody is attached already; read along with `lab console --tail`")
		}
	}
	return nil
}
