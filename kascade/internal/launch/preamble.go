package launch

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Limits and times of the preamble (SPEC, section 9).
const (
	MaxOrder = 64 << 10 // bytes
	MaxHost  = 255      // bytes

	maxNoise   = 64 << 10 // bytes that a login shell may print first
	holdEvery  = 2 * time.Second
	holdWithin = 20 * time.Second // without a word of the head
	version    = 1
	magic      = "KSCL"

	wordHold  = 0
	wordBegin = 1
)

// appendHello is what a node says first: that it is up, and where others reach it, which
// is empty if it does not know.
func appendHello(b []byte, host string) []byte {
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(host)))
	return append(b, host...)
}

// readHello takes a node's first words out of what its login shell may have printed
// before. r is read byte by byte: what follows belongs to others.
func readHello(r io.ByteReader) (host string, err error) {
	matched := 0
	for n := 0; matched < len(magic); n++ {
		if n == maxNoise {
			return "", fmt.Errorf("no sign of kascade in the first %d bytes that came", maxNoise)
		}
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == magic[matched]:
			matched++
		case c == magic[0]:
			matched = 1
		default:
			matched = 0
		}
	}
	var head [4]byte
	for i := range head {
		if head[i], err = r.ReadByte(); err != nil {
			return "", err
		}
	}
	if v := binary.BigEndian.Uint16(head[:]); v != version {
		return "", fmt.Errorf("the node speaks version %d of the launch, the head version %d: use the same program on both", v, version)
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if n > MaxHost {
		return "", fmt.Errorf("address of %d bytes, the limit is %d", n, MaxHost)
	}
	b := make([]byte, n)
	for i := range b {
		if b[i], err = r.ReadByte(); err != nil {
			return "", err
		}
	}
	return string(b), nil
}

// held is the link of a node that is up, and is told so now and then until it gets its order.
type held struct {
	link io.ReadWriteCloser
	stop chan struct{}
	err  chan error
}

func hold(link io.ReadWriteCloser) *held {
	h := &held{link: link, stop: make(chan struct{}), err: make(chan error, 1)}
	go func() {
		ticker := time.NewTicker(holdEvery)
		defer ticker.Stop()
		for {
			select {
			case <-h.stop:
				h.err <- nil
				return
			case <-ticker.C:
				if _, err := link.Write([]byte{wordHold}); err != nil {
					h.err <- err
					return
				}
			}
		}
	}()
	return h
}

// begin hands over the order; the link is the chain's own after it.
func (h *held) begin(order []byte) error {
	close(h.stop)
	if err := <-h.err; err != nil {
		return err
	}
	if len(order) > MaxOrder {
		return fmt.Errorf("order of %d bytes, the limit is %d", len(order), MaxOrder)
	}
	b := binary.BigEndian.AppendUint32([]byte{wordBegin}, uint32(len(order)))
	_, err := h.link.Write(append(b, order...))
	return err
}

// drop gives the node up.
func (h *held) drop() {
	close(h.stop)
	h.link.Close()
	<-h.err
}

// Attend is a node's side: it says that the node is up and reached by others at host, if
// that is known, and waits for the order. It closes link on error.
func Attend(ctx context.Context, link io.ReadWriteCloser, host string) (order []byte, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { link.Close() })
	defer func() {
		if !stop() {
			err = context.Cause(ctx)
		}
		if err != nil {
			link.Close()
		}
	}()
	watch := time.AfterFunc(holdWithin, func() { cancel(fmt.Errorf("the head was silent for %v", holdWithin)) })
	defer watch.Stop()
	if len(host) > MaxHost {
		host = ""
	}
	if _, err := link.Write(appendHello(nil, host)); err != nil {
		return nil, fmt.Errorf("tell the head: %w", err)
	}
	return readOrder(link, func() { watch.Reset(holdWithin) })
}

// readOrder takes the head's words until the order has come; each is a sign of life.
func readOrder(r io.Reader, alive func()) ([]byte, error) {
	var word [1]byte
	for {
		if _, err := io.ReadFull(r, word[:]); err != nil {
			return nil, fmt.Errorf("the head left before the start: %w", err)
		}
		alive()
		switch word[0] {
		case wordHold:
			continue
		case wordBegin:
			var size [4]byte
			if _, err := io.ReadFull(r, size[:]); err != nil {
				return nil, err
			}
			n := binary.BigEndian.Uint32(size[:])
			if n > MaxOrder {
				return nil, fmt.Errorf("order of %d bytes, the limit is %d", n, MaxOrder)
			}
			order := make([]byte, n)
			_, err := io.ReadFull(r, order)
			return order, err
		}
		return nil, fmt.Errorf("word %d of the head is unknown: use the same program on head and nodes", word[0])
	}
}

// byteReader reads single bytes of what must not be read ahead.
type byteReader struct{ r io.Reader }

func (b byteReader) ReadByte() (byte, error) {
	var p [1]byte
	_, err := io.ReadFull(b.r, p[:])
	return p[0], err
}
