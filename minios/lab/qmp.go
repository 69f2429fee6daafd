package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// qmpTime bounds a conversation with QEMU, which answers within
	// milliseconds unless the machine is overloaded or another client talks to it.
	qmpTime = 10 * time.Second
	// maxMessage bounds a line of QEMU's; a status is 100 bytes.
	maxMessage = 1 << 20
)

// monitor is a conversation with one QEMU in its Machine Protocol: JSON
// messages, one a line (QEMU, docs/interop/qmp-spec.txt). QEMU talks to one
// client at a time and lets others wait, so two operations on one machine do
// not interleave.
type monitor struct {
	connection net.Conn
	messages   *bufio.Scanner
	release    func() bool
	cancel     context.CancelFunc
	last       uint64 // id of the last command
}

// message is anything that QEMU sends: its greeting, an event, or a reply.
type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	ID       *uint64         `json:"id"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class       string `json:"class"`
		Description string `json:"desc"`
	} `json:"error"`
}

func dialMonitor(ctx context.Context, socket string) (*monitor, error) {
	ctx, cancel := context.WithTimeout(ctx, qmpTime)
	connection, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: does its QEMU run?", err)
	}
	m := &monitor{connection: connection, messages: newMessages(connection), cancel: cancel}
	// The end of ctx interrupts whatever read or write is going on.
	m.release = context.AfterFunc(ctx, func() { connection.SetDeadline(time.Now()) })
	if err := m.greet(ctx); err != nil {
		m.close()
		return nil, fmt.Errorf("greet QEMU on %s: %w", socket, errors.Join(err, ctx.Err()))
	}
	return m, nil
}

func newMessages(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 4096), maxMessage)
	return s
}

func (m *monitor) close() {
	m.release()
	m.cancel()
	m.connection.Close()
}

func (m *monitor) greet(ctx context.Context) error {
	first, err := nextMessage(m.messages)
	if err != nil {
		return err
	}
	if first.Greeting == nil {
		return fmt.Errorf("the first message is not a greeting: %s", m.messages.Bytes())
	}
	return m.execute(ctx, "qmp_capabilities", nil, nil)
}

// execute sends a command, and stores what it returns in result unless that is nil.
func (m *monitor) execute(ctx context.Context, command string, arguments, result any) error {
	m.last++
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        uint64 `json:"id"`
	}{command, arguments, m.last})
	if err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	if _, err := m.connection.Write(append(request, '\n')); err != nil {
		return fmt.Errorf("QMP %s: %w", command, errors.Join(err, ctx.Err()))
	}
	for {
		reply, err := nextMessage(m.messages)
		switch {
		case err != nil:
			return fmt.Errorf("QMP %s: %w", command, errors.Join(err, ctx.Err()))
		case reply.Event != "" || reply.ID == nil || *reply.ID != m.last:
			continue
		case reply.Error != nil:
			return fmt.Errorf("QMP %s: %s (%s)", command, reply.Error.Description, reply.Error.Class)
		case result == nil:
			return nil
		}
		if err := json.Unmarshal(reply.Return, result); err != nil {
			return fmt.Errorf("QMP %s: reply %s: %w", command, reply.Return, err)
		}
		return nil
	}
}

// nextMessage reads one message; the end of the stream is an error.
func nextMessage(s *bufio.Scanner) (message, error) {
	if !s.Scan() {
		err := s.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return message{}, fmt.Errorf("read QEMU's reply: %w", err)
	}
	var m message
	if err := json.Unmarshal(s.Bytes(), &m); err != nil {
		return message{}, fmt.Errorf("read QEMU's reply %.200q: %w", s.Bytes(), err)
	}
	return m, nil
}
