package kascade

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"kadeploy/kascade/internal/session"
	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// Limits of data connections (SPEC, section 2).
const (
	maxStrangers  = 64
	proveWithin   = 5 * time.Second
	connectWithin = 2 * time.Second
)

// pieces is a place in the stream that a data connection is served from.
type pieces interface {
	Next(ctx context.Context) (window.Piece, error)
	Advance(n int) int64 // the place after it
	Close()
}

// dataPort listens for readers, lets them prove the key, and serves them.
type dataPort struct {
	ln   net.Listener
	key  []byte
	tls  *tls.Config // nil: plain TCP
	log  *slog.Logger
	open func(wire.Request) (wire.Answer, pieces)    // decides what a reader gets; no pieces: refused
	keep func(context.Context, wire.Request, pieces) // of a node: takes the place of a reader that was lost
	sent atomic.Int64                                // payload bytes

	relay   *relay    // of a node
	blocked stopwatch // while a reader that follows takes nothing

	mu        sync.Mutex
	followers map[uint32]*follower
	wg        sync.WaitGroup
}

// follower is the connection of a reader that follows the stream; a reader has one.
type follower struct{ cancel context.CancelFunc }

func listen(ctx context.Context, address string, key []byte, encrypted bool, log *slog.Logger, open func(wire.Request) (wire.Answer, pieces)) (*dataPort, error) {
	if address == "" {
		address = ":0"
	}
	var secret *tls.Config
	if encrypted {
		var err error
		if secret, err = session.Server(); err != nil {
			return nil, fmt.Errorf("open the data port: %w", err)
		}
	}
	lc := net.ListenConfig{Control: tuneSocket}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the data port: %w", err)
	}
	return &dataPort{ln: ln, key: key, tls: secret, log: log, open: open, followers: map[uint32]*follower{}}, nil
}

// number is the port that it listens on.
func (p *dataPort) number() uint16 { return uint16(p.ln.Addr().(*net.TCPAddr).Port) }

// run serves until ctx ends, and returns when all connections are closed.
func (p *dataPort) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { p.ln.Close() })
	defer stop()
	defer p.wg.Wait()
	defer p.ln.Close()
	strangers := make(chan struct{}, maxStrangers)
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			p.log.Warn("data port does not accept", "error", err)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case strangers <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		p.wg.Go(func() { p.handle(ctx, conn, sync.OnceFunc(func() { <-strangers })) })
	}
}

// drop closes the connection of a reader that follows.
func (p *dataPort) drop(reader uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.followers[reader]; f != nil {
		f.cancel()
		delete(p.followers, reader)
	}
}

// handle serves one connection; known is called when it has proved the key.
func (p *dataPort) handle(ctx context.Context, conn net.Conn, known func()) {
	defer known()
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	conn.SetDeadline(time.Now().Add(proveWithin))
	hs := wire.NewHandshake(p.key)
	var req wire.Request
	link, err := p.secure(ctx, conn, hs)
	if err == nil {
		req, err = hello(hs, link)
	}
	if err != nil {
		if ctx.Err() == nil {
			p.log.Warn("stranger refused at the data port", "from", conn.RemoteAddr().String(), "error", err)
		}
		return
	}
	known()
	answer, place := p.open(req)
	if place != nil {
		defer place.Close()
		if req.Kind == wire.Follow {
			f := &follower{cancel}
			p.follow(req.Reader, f)
			defer p.unfollow(req.Reader, f)
		}
	}
	if _, err := link.Write(hs.Answer(answer)); err != nil || place == nil {
		return
	}
	conn.SetDeadline(time.Time{})
	d := newDelivery(link, place, int64(answer.Start), end(req), &p.sent, &p.blocked)
	if err := d.run(ctx, p.relay); err != nil && ctx.Err() == nil {
		p.log.Info("reader lost", "reader", req.Reader, "error", err)
		if p.keep != nil {
			p.keep(ctx, req, place)
		}
	}
}

// secure puts TLS on a connection, if this port is encrypted, and binds the proof to it.
func (p *dataPort) secure(ctx context.Context, conn net.Conn, hs *wire.Handshake) (net.Conn, error) {
	if p.tls == nil {
		return conn, nil
	}
	return bind(ctx, tls.Server(conn, p.tls), hs)
}

func bind(ctx context.Context, conn *tls.Conn, hs *wire.Handshake) (net.Conn, error) {
	exporter, err := session.Start(ctx, conn)
	if err != nil {
		return nil, err
	}
	hs.Bind(exporter)
	return conn, nil
}

// hello lets the reader prove the key and say what it wants.
func hello(hs *wire.Handshake, conn net.Conn) (wire.Request, error) {
	if _, err := conn.Write(hs.Hello(nonce())); err != nil {
		return wire.Request{}, err
	}
	b := make([]byte, wire.RequestSize)
	if _, err := io.ReadFull(conn, b); err != nil {
		return wire.Request{}, err
	}
	return hs.ReadRequest(b)
}

// follow makes f the reader's connection; an older one ends.
func (p *dataPort) follow(reader uint32, f *follower) {
	p.drop(reader)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.followers[reader] = f
}

func (p *dataPort) unfollow(reader uint32, f *follower) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.followers[reader] == f {
		delete(p.followers, reader)
	}
}

// end is the byte at which a request ends.
func end(r wire.Request) int64 {
	if r.To == wire.UnknownSize {
		return window.Unknown
	}
	return int64(r.To)
}

// dial connects to a data port and asks for req.
func dial(ctx context.Context, address string, key []byte, encrypted bool, req wire.Request) (net.Conn, wire.Answer, error) {
	d := net.Dialer{Timeout: connectWithin, Control: tuneSocket}
	d.SetMultipathTCP(false)
	raw, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, wire.Answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	raw.SetDeadline(time.Now().Add(proveWithin))
	hs, conn := wire.NewHandshake(key), raw
	var answer wire.Answer
	if encrypted {
		conn, err = bind(ctx, tls.Client(raw, session.Client()), hs)
	}
	if err == nil {
		answer, err = ask(hs, conn, req)
	}
	if err != nil {
		raw.Close()
		return nil, wire.Answer{}, fmt.Errorf("handshake with %s: %w", address, err)
	}
	raw.SetDeadline(time.Time{})
	return conn, answer, nil
}

// errGone means that the bytes are not at hand any more.
var errGone = errors.New("the stream has gone on: the bytes that are needed are not kept any more")

func ask(hs *wire.Handshake, conn net.Conn, req wire.Request) (wire.Answer, error) {
	b := make([]byte, max(wire.HelloSize, wire.AnswerSize))
	if _, err := io.ReadFull(conn, b[:wire.HelloSize]); err != nil {
		return wire.Answer{}, err
	}
	if err := hs.ReadHello(b[:wire.HelloSize]); err != nil {
		return wire.Answer{}, err
	}
	if _, err := conn.Write(hs.Request(req, nonce())); err != nil {
		return wire.Answer{}, err
	}
	if _, err := io.ReadFull(conn, b[:wire.AnswerSize]); err != nil {
		return wire.Answer{}, err
	}
	a, err := hs.ReadAnswer(b[:wire.AnswerSize])
	if err == nil && a.Status == wire.Refused {
		err = errors.New("refused")
	}
	if err == nil && a.Status == wire.Gone {
		err = errGone
	}
	return a, err
}

func nonce() (n [16]byte) {
	rand.Read(n[:])
	return n
}
