package kascade

import (
	"context"
	"io"
)

// Source is what is broadcast. It can be read again anywhere, by several
// readers at once. *io.SectionReader is a Source.
type Source interface {
	io.ReaderAt
	// Size is the number of bytes; it does not change.
	Size() int64
}

// Sink consumes the verified stream of one node, in order.
//
// Write gets whole chunks of the manifest (the last may be shorter); it must not
// keep the slice. After the last byte exactly one of Commit and Abort is called,
// once. Abort may be called while a Write or nothing is under way; it must make a
// blocked Write return, as the node's part ends only then.
type Sink interface {
	io.Writer
	// Commit is called when all bytes were written; it returns when they are durable.
	// An empty source is committed without any Write.
	Commit(ctx context.Context) error
	// Abort says that no more bytes will come, and why.
	Abort(cause error)
}
