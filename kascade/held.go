package kascade

import "fmt"

// Held is what a sink holds of a source: the leading Bytes, in chunks of ChunkSize, whose
// digests were made from what is really there (a stored record alone proves nothing about
// a disk). The last chunk may be shorter, if it is the source's last. The zero value is
// nothing.
type Held struct {
	Bytes     int64
	ChunkSize int
	Digests   []Digest
}

// check tells whether the fields fit together.
func (h Held) check() error {
	if h.Bytes == 0 && len(h.Digests) == 0 {
		return nil
	}
	n, err := chunkCount(h.Bytes, h.ChunkSize)
	if err != nil {
		return fmt.Errorf("what the sink holds: %w", err)
	}
	if n != len(h.Digests) {
		return fmt.Errorf("what the sink holds: %d digests for %d chunks", len(h.Digests), n)
	}
	return nil
}

// Resumer is implemented by a Sink that can go on where it was interrupted.
type Resumer interface {
	// Resume is called once, before the first Write and before Commit: the stream goes on
	// at byte from, which is a multiple of chunkSize or the whole size. What the sink holds
	// before it is right, what it holds after it must be given up. from is 0 if it holds
	// nothing, or nothing that is right. An error is that of the sink.
	Resume(from int64, chunkSize int) error
}

// Verified is implemented by a Sink that keeps a record of what it holds.
type Verified interface {
	// Verified is called after the Write of each chunk, with its number and its digest.
	Verified(chunk int, d Digest)
}
