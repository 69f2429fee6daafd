package initsys

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// KernelLog is a slog handler that writes to the kernel's log, /dev/kmsg: the
// kernel stamps each line with the time since boot and shows it on every
// console, whole, between its own lines (kernel documentation, ABI/testing/dev-kmsg).
type KernelLog struct {
	out    *output
	tag    string
	level  slog.Level
	prefix string // attributes and groups given so far
	group  string
}

type output struct {
	mu sync.Mutex
	w  io.Writer
}

// NewKernelLog returns a handler whose lines start with tag.
func NewKernelLog(w io.Writer, tag string, level slog.Level) *KernelLog {
	return &KernelLog{out: &output{w: w}, tag: tag, level: level}
}

// OpenLog returns a logger to /dev/kmsg, or to standard error where there is none.
func OpenLog(tag string) *slog.Logger {
	w, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(NewKernelLog(w, tag, slog.LevelInfo))
}

// maxLine is what the kernel takes at once (LOG_LINE_MAX, less what it adds).
const maxLine = 960

// Enabled implements slog.Handler.
func (h *KernelLog) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle implements slog.Handler. One write is one line of the kernel's log.
func (h *KernelLog) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	// Facility 1, user; info is sent as "notice" so that it can be shown when the kernel's own info lines are not.
	severity := 7
	switch {
	case r.Level >= slog.LevelError:
		severity = 3
	case r.Level >= slog.LevelWarn:
		severity = 4
	case r.Level >= slog.LevelInfo:
		severity = 5
	}
	fmt.Fprintf(&b, "<%d>%s: %s%s", 1<<3|severity, h.tag, r.Message, h.prefix)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(format(h.group, a))
		return true
	})
	line := bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("; "))
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(append(line, '\n'))
	return err
}

// WithAttrs implements slog.Handler.
func (h *KernelLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.prefix += format(c.group, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *KernelLog) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "."
	return &c
}

func format(group string, a slog.Attr) string {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		var b strings.Builder
		for _, member := range v.Group() {
			b.WriteString(format(group+a.Key+".", member))
		}
		return b.String()
	}
	text := v.String()
	if text == "" || strings.ContainsAny(text, " \"=") {
		text = fmt.Sprintf("%q", text)
	}
	return " " + group + a.Key + "=" + text
}
