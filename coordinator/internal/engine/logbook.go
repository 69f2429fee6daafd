package engine

import (
	"strings"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// logbook holds a workflow's lines of text until they are read; each is read once.
type logbook struct {
	lines []taggedLine
	last  time.Time
}

type taggedLine struct {
	tag  string // cluster, or node for debug lines; empty: nobody's in particular
	line workflow.Line
}

// maxLines bounds what is kept for a client that does not read.
const maxLines = 100_000

// tick is the resolution of the times that clients see (contract 7.6): five
// decimals. No two lines have the same time, because clients sort by it.
const tick = 10 * time.Microsecond

func (b *logbook) add(now time.Time, tag, text string) workflow.Line {
	if !now.After(b.last) {
		now = b.last.Add(tick)
	}
	b.last = now
	if len(b.lines) >= maxLines {
		b.lines = append(b.lines[:0], b.lines[len(b.lines)-maxLines/2:]...)
	}
	l := workflow.Line{Time: now, Text: text}
	b.lines = append(b.lines, taggedLine{tag, l})
	return l
}

// take removes and returns the lines of a tag, and those that have none; all if tag is empty.
func (b *logbook) take(tag string) []workflow.Line {
	var taken []workflow.Line
	rest := b.lines[:0]
	for _, l := range b.lines {
		if tag == "" || l.tag == "" || l.tag == tag {
			taken = append(taken, l.line)
			continue
		}
		rest = append(rest, l)
	}
	clear(b.lines[len(rest):])
	b.lines = rest
	return taken
}

const debugRule = "-------------------------"

// debug adds what a command printed on a node, in the form of contract 1.8.
func (b *logbook) debug(now time.Time, node, command, stdout, stderr string, status string) {
	for _, l := range []string{debugRule, "NODE: " + node, debugRule} {
		b.add(now, node, l)
	}
	for _, part := range []struct{ name, text string }{
		{"COMMAND", command}, {"STDOUT", stdout}, {"STDERR", stderr}, {"STATUS", status},
	} {
		for line := range strings.SplitSeq(strings.TrimRight(part.text, "\n"), "\n") {
			b.add(now, node, part.name+": "+line)
		}
	}
}

// maxOutput is how much of an output is kept (contract 5.1, outputs_size).
const maxOutput = 20_000

// clip keeps the end of an output, where errors stand.
func clip(text string) string {
	if len(text) <= maxOutput {
		return text
	}
	return strings.ToValidUTF8("..."+text[len(text)-maxOutput:], "")
}
