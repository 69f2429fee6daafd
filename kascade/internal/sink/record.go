package sink

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// The record beside a partial file: what was verified of it.
//
//	"KSRC" ver u16, 0 u16, chunk size u32, then BLAKE3 digests of chunks 0, 1, ..., 32 bytes each
//
// Integers are big-endian. A digest that is cut short at the end does not count.
const (
	recordMagic   = "KSRC"
	recordVersion = 1
	recordHeader  = 12
	digestSize    = 32

	minChunk  = 1 << 10
	maxChunk  = 4 << 20
	maxChunks = 2 << 20
)

// record is the digests of the chunks that a partial file had when it was last written.
type record struct {
	chunkSize int
	digests   [][digestSize]byte
}

func appendRecordHeader(b []byte, chunkSize int) []byte {
	b = append(b, recordMagic...)
	b = binary.BigEndian.AppendUint16(b, recordVersion)
	b = binary.BigEndian.AppendUint16(b, 0)
	return binary.BigEndian.AppendUint32(b, uint32(chunkSize))
}

// readRecord reads a record; what is none is an error.
func readRecord(r io.Reader) (record, error) {
	var head [recordHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return record{}, fmt.Errorf("read the record: %w", err)
	}
	if string(head[:4]) != recordMagic || binary.BigEndian.Uint16(head[4:]) != recordVersion {
		return record{}, errors.New("read the record: not one of this version")
	}
	rec := record{chunkSize: int(binary.BigEndian.Uint32(head[8:]))}
	if rec.chunkSize < minChunk || rec.chunkSize > maxChunk {
		return record{}, fmt.Errorf("read the record: chunks of %d bytes", rec.chunkSize)
	}
	for br := bufio.NewReader(r); len(rec.digests) < maxChunks; {
		var d [digestSize]byte
		_, err := io.ReadFull(br, d[:])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return record{}, fmt.Errorf("read the record: %w", err)
		}
		rec.digests = append(rec.digests, d)
	}
	return rec, nil
}

func loadRecord(path string) (record, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	return readRecord(f)
}
