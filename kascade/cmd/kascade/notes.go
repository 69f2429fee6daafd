package main

import (
	"fmt"
	"strings"
)

// The original's defaults of -b and -u.
const (
	originalBuffer  = 65536
	originalBuffers = 1600
)

// ignored holds values of options that are accepted and have no effect.
type ignored struct {
	chunk                                 string
	index, check, wait, remove, handshake bool
}

// notes is what there is to say about options that do not do what they did in the
// original, in one line; empty if there is nothing.
func (o *options) notes() string {
	var without, more []string
	for _, f := range []struct{ name, short string }{
		{"chunk-size", "-C"}, {"ip", "-I"}, {"no-check", "-c"}, {"wait", "-w"}, {"remove", "-M"}, {"no-handshake", "-H"},
	} {
		if o.given(f.name) {
			without = append(without, f.short)
		}
	}
	if o.translated != "" {
		more = append(more, fmt.Sprintf("-D %s means ssh", o.translated))
		if o.given("params") {
			without = append(without, fmt.Sprintf("-P (options of %s)", o.translated))
		}
	}
	if o.launcher == "none" {
		for _, f := range []struct{ name, short string }{{"ssh", "-S"}, {"params", "-P"}} {
			if o.given(f.name) {
				without = append(without, f.short+" (for ssh)")
			}
		}
	} else {
		for _, f := range []struct{ name, short string }{{"index", "-W"}, {"retry", "-r"}, {"retry2", "-R"}} {
			if o.given(f.name) {
				without = append(without, f.short+" (for -D none)")
			}
		}
	}
	if len(without) > 0 {
		more = append(more, strings.Join(without, ", ")+" without effect, see --help")
	}
	return strings.Join(more, "; ")
}
