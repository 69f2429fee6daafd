package kascade

import (
	"sync"

	"github.com/zeebo/blake3"
)

// hash makes the digest of each block and that of the whole, side by side, and beside the
// sending. It ends when blocks is closed.
func (f *intake) hash(blocks <-chan *block) {
	defer close(f.hashed)
	all := make(chan *block, readAhead)
	var wg sync.WaitGroup
	wg.Go(func() {
		h := blake3.New()
		for b := range all {
			h.Write(b.piece.Data)
			f.done(b)
		}
		h.Sum(f.whole[:0])
	})
	for b := range blocks {
		f.mu.Lock()
		b.users++
		f.mu.Unlock()
		all <- b
		d := Digest(blake3.Sum256(b.piece.Data))
		f.made(int(b.piece.Chunk), d)
		f.digests.put(d)
		f.done(b)
	}
	close(all)
	wg.Wait()
}

// done gives up a block.
func (f *intake) done(b *block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.release(b)
}
