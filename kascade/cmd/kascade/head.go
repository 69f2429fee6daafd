package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/control"
)

// runHead is the head's part: it waits for the nodes, broadcasts, and reports.
func (o *options) runHead(ctx context.Context) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(o.port)))
	if err != nil {
		return err
	}
	src, closeSource, err := o.openSource()
	if err != nil {
		ln.Close()
		return err
	}
	defer closeSource()
	// Nodes come while the manifest is made.
	gathered := make(chan []kascade.Peer, 1)
	gather, stop := context.WithTimeout(ctx, time.Duration(o.retry)*time.Second)
	defer stop()
	go func() { gathered <- o.gather(gather, ln) }()
	m, err := kascade.NewManifest(io.NewSectionReader(src, 0, src.Size()), 0)
	if err != nil {
		stop()
	}
	peers := <-gathered
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		for _, p := range peers {
			p.Control.Close()
		}
		return err
	}
	show := o.newDisplay()
	res, err := kascade.Broadcast(ctx, src, m, peers, kascade.HeadOptions{Logger: o.log, Order: o.names, Progress: show.progress})
	if res == nil {
		return err
	}
	for _, name := range o.names {
		if _, came := res.Nodes[name]; !came {
			res.Nodes[name] = fmt.Errorf("did not join within %d s", o.retry)
		}
	}
	show.result(res, m)
	return o.report(res, err)
}

// report writes the lists, and says with which code to exit.
func (o *options) report(res *kascade.Result, err error) error {
	if werr := writeReports(o.ok, o.ko, o.names, res.Nodes); werr != nil {
		return werr
	}
	switch failed := res.Failed(); {
	case err != nil:
		return err
	case failed == len(res.Nodes):
		return exitError(exitFatal)
	case failed > 0:
		return exitError(exitSome)
	}
	return nil
}

// gather takes the control links of the nodes until all are there or ctx ends, and closes ln.
func (o *options) gather(ctx context.Context, ln net.Listener) []kascade.Peer {
	acceptor, err := control.NewAcceptor(o.key)
	if err != nil {
		o.log.Error("no nodes can join", "error", err)
		ln.Close()
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var mu sync.Mutex
	var peers []kascade.Peer
	var wg sync.WaitGroup
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			o.log.Warn("accept", "error", err)
			continue
		}
		wg.Go(func() {
			link, name, err := acceptor.Accept(ctx, conn)
			if err != nil {
				o.log.Warn("refused", "error", err)
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(o.names, name) || slices.ContainsFunc(peers, func(p kascade.Peer) bool { return p.Name == name }) {
				o.log.Warn("refused: not in the list of nodes, or there already", "node", name, "from", host)
				link.Close()
				return
			}
			peers = append(peers, kascade.Peer{Name: name, Host: host, Control: link})
			if len(peers) == len(o.names) {
				cancel()
			}
		})
	}
	wg.Wait()
	return peers
}

// source is a file, read at any place.
type source struct {
	*os.File
	size int64
}

func (s source) Size() int64 { return s.size }

// openSource opens -i. What cannot be read twice, such as a pipe, is copied to a temporary
// file that has no name any more.
func (o *options) openSource() (kascade.Source, func() error, error) {
	f, stream := (*os.File)(nil), o.in
	if o.input != "-" {
		var err error
		if f, err = os.Open(o.input); err != nil {
			return nil, nil, fmt.Errorf("-i: %w", err)
		}
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("-i %s is a directory: send an archive of it, as in: tar c %s | kascade -i - ... -O 'tar x'", o.input, o.input)
		}
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		stream = f
		if size, err := f.Seek(0, io.SeekEnd); err == nil {
			return source{f, size}, f.Close, nil
		}
	}
	spool, err := os.CreateTemp("", "kascade-*")
	if err != nil {
		return nil, nil, fmt.Errorf("copy the input to a temporary file: %w", err)
	}
	os.Remove(spool.Name())
	size, err := io.Copy(spool, stream)
	if f != nil {
		f.Close()
	}
	if err != nil {
		spool.Close()
		return nil, nil, fmt.Errorf("copy the input to a temporary file: %w", err)
	}
	return source{spool, size}, spool.Close, nil
}
