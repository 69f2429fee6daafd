package kascade

import (
	"fmt"

	"github.com/pierrec/lz4/v4"

	"kadeploy/kascade/internal/window"
)

// unpack is the plain bytes of a payload. A compressed one is decoded into buf, which has
// the length of the chunk; it never grows beyond that, and must fill it.
func unpack(payload []byte, form window.Form, buf []byte) ([]byte, error) {
	if !form.Packed {
		return payload, nil
	}
	n, err := lz4.UncompressBlock(payload, buf)
	if err != nil {
		return nil, fmt.Errorf("decompress a chunk: %w", err)
	}
	if n != len(buf) {
		return nil, fmt.Errorf("decompress a chunk: %d bytes instead of %d", n, len(buf))
	}
	return buf, nil
}
