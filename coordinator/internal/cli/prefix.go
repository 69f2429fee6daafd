package cli

import (
	"bytes"
	"io"
	"sync"
)

// prefixWriter writes whole lines with a prefix, beside others that share its lock.
type prefixWriter struct {
	w      io.Writer
	prefix string
	one    *sync.Mutex // at a time, of all that write to the same place
	rest   []byte      // the start of a line
}

func (p *prefixWriter) Write(data []byte) (int, error) {
	p.one.Lock()
	defer p.one.Unlock()
	p.rest = append(p.rest, data...)
	for {
		end := bytes.IndexByte(p.rest, '\n')
		if end < 0 {
			return len(data), nil
		}
		line := append([]byte(p.prefix), p.rest[:end+1]...)
		p.rest = p.rest[end+1:]
		if _, err := p.w.Write(line); err != nil {
			return len(data), err
		}
	}
}
