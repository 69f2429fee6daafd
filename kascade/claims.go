package kascade

import (
	"fmt"
	"sync"

	"kadeploy/kascade/internal/wire"
)

// maxDeviating is how many digests of what nodes hold are kept beside those that most of
// them agree on (64 MiB). A claim that would need more is cut.
const maxDeviating = 2 << 20

// claims is what nodes say that they hold already, until it was compared with the digests
// of the source. Nothing of it is believed before.
type claims struct {
	mu     sync.Mutex
	common []Digest // of those who came first, as far as they say something
	spare  int      // digests that may still be kept beside common
	of     map[int]*claim

	stream bool // the source is read once: nobody may need what is skipped
	begun  bool // every node has said what it holds, or is late
	halted bool // somebody needs the stream from here on
}

// claim is that of one node.
type claim struct {
	said    int // chunks that it says it holds
	told    int // digests that have come
	count   int // chunks of which digests will be kept: said, unless it was cut
	got     int // digests that are kept
	matched int // of these, those that are right
	shared  int // of these, those that stand in common; own follows
	own     []Digest
}

func newClaims(stream bool) *claims {
	return &claims{spare: maxDeviating, of: map[int]*claim{}, stream: stream}
}

// add begins a claim of count chunks.
func (c *claims) add(node, count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[node] = &claim{said: count, count: count}
}

// put takes digests of a claim, which come in order.
func (c *claims) put(node int, m *wire.Held) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, n := c.of[node], len(m.Data)/wire.DigestSize
	if k == nil {
		return nil // settled already: it differs, or is cut
	}
	if int(m.First) != k.told || n > k.said-k.told {
		return &wire.ProtocolError{What: fmt.Sprintf("held digests %d to %d after %d of %d", m.First, int(m.First)+n, k.told, k.said)}
	}
	k.told += n
	for i := range n {
		c.take(k, Digest(m.Data[i*wire.DigestSize:][:wire.DigestSize]))
	}
	return nil
}

// take appends one digest to a claim. What is the same for all is kept once.
func (c *claims) take(k *claim, d Digest) {
	switch {
	case k.got == k.count: // cut
		return
	case len(k.own) == 0 && k.got < len(c.common) && c.common[k.got] == d:
		k.shared++
	case len(k.own) == 0 && k.got == len(c.common):
		c.common = append(c.common, d)
		k.shared++
	case c.spare == 0:
		k.count = k.got
		return
	default:
		c.spare--
		k.own = append(k.own, d)
	}
	k.got++
}

func (k *claim) at(i int, common []Digest) Digest {
	if i < k.shared {
		return common[i]
	}
	return k.own[i-k.shared]
}

// settled is a claim of which is known how many chunks are right.
type settled struct{ node, chunks int }

// compare settles the claims of which enough is known: made are the digests of the source
// from its start, all of them if ended.
func (c *claims) compare(made []Digest, ended bool) []settled {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []settled
	for node, k := range c.of {
		if k.check(made, c.common) && !(ended && k.matched == len(made)) {
			continue
		}
		out = append(out, settled{node, k.matched})
		c.spare += len(k.own)
		delete(c.of, node)
		c.halted = true
	}
	return out
}

// check goes on with a claim as far as both sides are known. It returns false when the
// claim has ended or differs.
func (k *claim) check(made, common []Digest) bool {
	for ; k.matched < min(k.got, k.count, len(made)); k.matched++ {
		if k.at(k.matched, common) != made[k.matched] {
			return false
		}
	}
	return k.matched < k.count
}

// differs notes at once that a stream must not be skipped any further, when its chunk i
// has this digest.
func (c *claims) differs(i int, d Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.of {
		if i < k.got && k.at(i, c.common) != d {
			c.halted = true
		}
	}
}

// forget drops the claim of a node that has failed.
func (c *claims) forget(node int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.of[node]; k != nil {
		c.spare += len(k.own)
		delete(c.of, node)
	}
}

// halt says that somebody needs a stream from where it is.
func (c *claims) halt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halted = true
}

// begin says that every node has said what it holds, or is late.
func (c *claims) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
}

// want tells whether a chunk is to be read and hashed for the claims alone. A stream is
// skipped as long as every node holds what goes by.
func (c *claims) want(chunk int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	least, most := int64(MaxChunks), int64(0)
	for _, k := range c.of {
		least, most = min(least, int64(k.got)), max(most, int64(k.got))
	}
	if c.stream {
		return len(c.of) > 0 && c.begun && !c.halted && chunk < least
	}
	return chunk < most
}

// open tells whether claims are not settled yet.
func (c *claims) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.of) > 0
}
