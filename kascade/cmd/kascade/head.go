package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/launch"
)

// runHead is the head's part: it brings up the nodes, broadcasts, and reports.
func (o *options) runHead(ctx context.Context) error {
	src, err := o.openSource(ctx)
	if err != nil {
		return err
	}
	defer src.close()
	show := o.newDisplay()
	defer show.close()
	launcher, err := o.newLauncher(ctx, show)
	if err != nil {
		return err
	}
	opts, err := o.headOptions(ctx)
	if err != nil {
		return err
	}
	nodes := make([]launch.Node, len(o.names))
	for i, name := range o.names {
		nodes[i] = launch.Node{Name: name, Order: o.order(name, src)}
	}
	begin := time.Now()
	show.launching(0, 0)
	peers, failed := launcher.Launch(ctx, nodes)
	show.launched(len(peers), failed, time.Since(begin))
	opts.Progress = show.progress
	res, err := o.broadcast(ctx, src, peers, opts)
	if e := launcher.Close(); e != nil {
		o.log.Warn("after the end", "error", e)
	}
	if res == nil {
		return err
	}
	for name, reason := range failed {
		res.Nodes[name] = reason
	}
	show.result(res, src)
	return o.report(res, err)
}

// broadcast runs the chain, if there is anybody.
func (o *options) broadcast(ctx context.Context, src *source, peers []kascade.Peer, opts kascade.HeadOptions) (*kascade.Result, error) {
	if ctx.Err() != nil {
		for _, p := range peers {
			p.Control.Close()
		}
		return nil, context.Cause(ctx)
	}
	if len(peers) == 0 {
		return &kascade.Result{Nodes: map[string]error{}}, nil
	}
	res, err := kascade.Broadcast(ctx, src.Source, nil, peers, opts)
	if res != nil {
		src.manifest = res.Manifest
	}
	return res, err
}

// said passes on what a node prints.
func (o *options) said(node, line string) {
	if o.level <= slog.LevelInfo {
		fmt.Fprintf(o.screen, "%s: %s\n", node, printable(line))
	}
}

func (o *options) newLauncher(ctx context.Context, show *display) (launch.Launcher, error) {
	if o.launcher == "none" {
		ln, err := o.listen(ctx, o.port)
		if err != nil {
			return nil, err
		}
		if got := ln.Addr().(*net.TCPAddr).Port; got != o.port && o.port != 0 {
			fmt.Fprintf(o.errs, "kascade: port %d is taken: this head is at port %d, so nodes need -m HOST:%d\n", o.port, got, got)
		}
		return &launch.ByHand{Listener: ln, Key: o.key, Within: time.Duration(o.retry) * time.Second, Log: o.log, Progress: show.launching}, nil
	}
	command, err := launch.Words(o.ssh)
	if err != nil {
		return nil, fmt.Errorf("-S: %w", err)
	}
	l := &launch.SSH{
		Command: command, Program: o.program, Dir: o.remoteDir, Window: o.launchWindow,
		Connect: seconds(o.connectTimeout), Patient: seconds(o.launchTimeout),
		Said: o.said, Progress: show.launching,
	}
	if o.translated == "" {
		if l.Params, err = launch.Words(o.params); err != nil {
			return nil, fmt.Errorf("-P: %w", err)
		}
	}
	return l, nil
}

// headOptions are the engine's.
func (o *options) headOptions(ctx context.Context) (kascade.HeadOptions, error) {
	mode, err := kascade.ParseSlowMode(o.slow)
	opts := kascade.HeadOptions{
		Logger: o.log, Order: o.names, Window: o.windowBytes, DeadAfter: seconds(o.timeout),
		Slow:   kascade.Slow{Mode: mode, Share: o.slowShare, Patience: seconds(o.slowPatience)},
		Chains: o.chains, Encrypt: o.encrypt, Compress: compressions[o.compress], NoVerify: o.noVerify,
	}
	if err != nil {
		return opts, err
	}
	if o.master != "" {
		opts.Host = o.master
		if host, _, err := net.SplitHostPort(o.master); err == nil {
			opts.Host = host
		}
	}
	if o.launcher != "none" && o.given("port") {
		ln, err := o.listen(ctx, o.port) // finds one that is free; the engine opens it again
		if err != nil {
			return opts, err
		}
		opts.Listen = fmt.Sprintf(":%d", ln.Addr().(*net.TCPAddr).Port)
		ln.Close()
	}
	return opts, nil
}

// portTries is how many ports --adjust-port tries.
const portTries = 100

// listen opens a port, or one of the next.
func (o *options) listen(ctx context.Context, port int) (net.Listener, error) {
	var failure error
	for p := port; p <= min(port+portTries, 65535); p++ {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(p)))
		if err == nil {
			return ln, nil
		}
		if failure == nil {
			failure = err
		}
		if !o.adjustPort {
			break
		}
	}
	return nil, fmt.Errorf("-p %d: %w", port, failure)
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

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
