package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// messages is a slog.Handler for people: "kascade: warning: node is slow: node h2, cause its CPU".
type messages struct {
	to    io.Writer
	level slog.Level
	attrs []slog.Attr
	mu    *sync.Mutex
}

func newLog(to io.Writer, level slog.Level) *slog.Logger {
	return slog.New(&messages{to: to, level: level, mu: &sync.Mutex{}})
}

func (m *messages) Enabled(_ context.Context, l slog.Level) bool { return l >= m.level }

func (m *messages) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *m
	n.attrs = append(m.attrs[:len(m.attrs):len(m.attrs)], attrs...)
	return &n
}

// WithGroup is not used by the engine.
func (m *messages) WithGroup(string) slog.Handler { return m }

func (m *messages) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	b.WriteString("kascade: ")
	if word := levelWords[r.Level]; word != "" {
		b.WriteString(word + ": ")
	}
	if r.Level < slog.LevelInfo {
		b.WriteString(r.Time.Format("15:04:05.000 "))
	}
	b.WriteString(r.Message)
	separator := ": "
	each := func(a slog.Attr) bool {
		b.WriteString(separator + a.Key + " " + printable(a.Value.String()))
		separator = ", "
		return true
	}
	for _, a := range m.attrs {
		each(a)
	}
	r.Attrs(each)
	b.WriteByte('\n')
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.to.Write(b.Bytes())
	return err
}

var levelWords = map[slog.Level]string{slog.LevelError: "error", slog.LevelWarn: "warning"}

// printable is a text of someone else's, on one line and without control characters.
func printable(s string) string {
	q := strconv.Quote(s)
	if q == `"`+s+`"` {
		return s
	}
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(q, `"`), `"`), `\"`, `"`)
}
