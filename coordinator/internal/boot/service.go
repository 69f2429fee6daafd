// Package boot owns what a node meets on the network before an operating system
// runs: its address by DHCP, the iPXE loader by TFTP, its boot script and the
// mini-OS by HTTP, and an answer to IPv6 router solicitations so that firmware
// does not wait for one. What a node boots is asked of others at the moment
// when the node asks; the package keeps no state of its own. It never powers a
// node, and answers nobody whom the configuration does not name.
package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Service is the boot service of one network segment.
type Service struct {
	base    string // URL of the HTTP server, without a final slash
	servers []server
	closers []func() error
}

// server is one listener: it serves until its context ends.
type server func(ctx context.Context) error

// New checks the configuration and opens every port, so that one who starts the
// service learns at once what is missing or taken. Run must follow, or Close.
func New(cfg Config) (_ *Service, err error) {
	s := &Service{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("boot service: %w", err), s.Close())
		}
	}()
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	nodes, err := newIndex(cfg.Nodes)
	if err != nil {
		return nil, err
	}
	files, err := s.openRoot(cfg.Repository, "repository of mini-OS kernels")
	if err != nil {
		return nil, err
	}
	loaders, err := newLoaders(&cfg)
	if err != nil {
		return nil, err
	}
	var users *os.Root
	if cfg.UserFiles != "" {
		if users, err = s.openRoot(cfg.UserFiles, "directory of users' boot files"); err != nil {
			return nil, err
		}
	}
	overlay, err := buildOverlay(cfg.Overlay)
	if err != nil {
		return nil, err
	}
	if err := s.openHTTP(&cfg, nodes, overlay, files, loaders, users); err != nil {
		return nil, err
	}
	if !cfg.NoDHCP {
		if err := s.openDHCP(&cfg, nodes); err != nil {
			return nil, err
		}
	}
	if !cfg.NoTFTP {
		if err := s.openTFTP(&cfg, loaders.open, below(files)); err != nil {
			return nil, err
		}
	}
	if cfg.RouterAdvertisement {
		if err := s.openAdvertiser(&cfg); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// URL is where the service's HTTP server is reached, without a final slash.
func (s *Service) URL() string { return s.base }

// Run serves until ctx ends or a server fails, and releases everything.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, serve := range s.servers {
		group.Go(func() error { return serve(ctx) })
	}
	err := group.Wait()
	return errors.Join(err, s.Close())
}

// Close releases what New opened. It is for services that are never run.
func (s *Service) Close() error {
	var errs []error
	for _, c := range s.closers {
		if err := c(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Service) openRoot(dir, what string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	s.closers = append(s.closers, root.Close)
	return root, nil
}

func (s *Service) openHTTP(cfg *Config, nodes *index, overlay []byte, files *os.Root, loaders *loaders, users *os.Root) error {
	at := netip.AddrPortFrom(cfg.Address.Addr(), uint16(cfg.HTTPPort))
	l, err := net.Listen("tcp4", at.String())
	if err != nil {
		return portError("HTTP", "TCP", at, err)
	}
	s.closers = append(s.closers, l.Close)
	s.base = "http://" + l.Addr().String()
	w := &web{
		nodes: nodes, profiles: cfg.Profiles, tokens: cfg.Tokens, overlay: overlay, log: cfg.Logger,
		scripts: &scripter{base: s.base, params: cfg.Params, coordinator: cfg.Coordinator, fingerprint: cfg.Fingerprint},
	}
	if overlay != nil {
		w.scripts.overlay = s.base + pathOverlay
	}
	if _, err := files.Stat(localLoader); err == nil {
		w.scripts.loader = w.scripts.url(localLoader)
	}
	handler := w.handler(files, loaders, users)
	s.servers = append(s.servers, func(ctx context.Context) error { return serveHTTP(ctx, l, handler, cfg.Logger) })
	return nil
}

func (s *Service) openDHCP(cfg *Config, nodes *index) error {
	at := netip.AddrPortFrom(netip.IPv4Unspecified(), 67)
	conn, err := listenOn(cfg.Interface, at)
	if err != nil {
		return portError("DHCP", "UDP", at, err)
	}
	s.closers = append(s.closers, conn.Close)
	d := newDHCP(cfg, nodes, s.base)
	s.servers = append(s.servers, func(ctx context.Context) error { return d.serve(ctx, conn) })
	return nil
}

// listenOn opens a UDP port for one interface only, broadcasts included. The
// address is not shared: a second server on the machine is an error, not a race.
func listenOn(ifname string, at netip.AddrPort) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		ctlErr := raw.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.BindToDevice(int(fd), ifname))
		})
		return errors.Join(ctlErr, err)
	}}
	return lc.ListenPacket(context.Background(), "udp4", at.String())
}

// portError names the port and what to do about it.
func portError(what, proto string, at netip.AddrPort, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		remedy = fmt.Sprintf("; another program has that port: find it with `ss -lnp 'sport = :%d'`, and stop it or configure another port", at.Port())
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		remedy = "; start it as root, or with the capabilities NET_BIND_SERVICE and NET_RAW"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		remedy = "; no interface has that address yet"
	}
	return fmt.Errorf("%s server on %s port %d of %s: %w%s", what, proto, at.Port(), at.Addr(), err, remedy)
}
