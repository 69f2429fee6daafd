package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// advertisement is a router advertisement (RFC 4861, section 4.2) that tells
// nothing: hop limit 0, flags 0 (addresses come neither from DHCPv6 nor from
// here), router lifetime 0 (not a router), no timers, no options. Firmware that
// gets it stops waiting for IPv6 and boots by IPv4.
var advertisement = icmp.Message{
	Type: ipv6.ICMPTypeRouterAdvertisement,
	Body: &icmp.RawBody{Data: make([]byte, 12)},
}

// openAdvertiser prepares to answer router solicitations on the interface.
func (s *Service) openAdvertiser(cfg *Config) error {
	ifi, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return fmt.Errorf("router advertisements: interface %q: %w", cfg.Interface, err)
	}
	raw, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return portError("router advertisement", "ICMPv6", netip.AddrPortFrom(netip.IPv6Unspecified(), 0), err)
	}
	s.closers = append(s.closers, raw.Close)
	conn := ipv6.NewPacketConn(raw)
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	err = errors.Join(
		conn.SetICMPFilter(&filter),
		conn.JoinGroup(ifi, &net.UDPAddr{IP: net.IPv6linklocalallrouters}),
		conn.SetControlMessage(ipv6.FlagInterface|ipv6.FlagHopLimit, true),
		conn.SetMulticastInterface(ifi),
		conn.SetMulticastHopLimit(255), // receivers drop advertisements that a router might have forwarded
		conn.SetHopLimit(255))
	if err != nil {
		return fmt.Errorf("router advertisements on %s: %w", cfg.Interface, err)
	}
	s.servers = append(s.servers, func(ctx context.Context) error { return advertise(ctx, conn, ifi.Index, cfg.Logger) })
	return nil
}

// advertise answers every solicitation of the interface, to all nodes: the one
// who asks often has no address yet.
func advertise(ctx context.Context, conn *ipv6.PacketConn, ifindex int, log *slog.Logger) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	answer, err := advertisement.Marshal(nil)
	if err != nil {
		return fmt.Errorf("router advertisement: %w", err)
	}
	toAll := &net.IPAddr{IP: net.IPv6linklocalallnodes}
	buf := make([]byte, 1500)
	for {
		n, cm, _, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, unix.ENETDOWN) {
				continue
			}
			return fmt.Errorf("receive router solicitations: %w", err)
		}
		if cm == nil || cm.IfIndex != ifindex || cm.HopLimit != 255 || n < 8 {
			continue
		}
		if _, err := conn.WriteTo(answer, &ipv6.ControlMessage{IfIndex: ifindex, HopLimit: 255}, toAll); err != nil && ctx.Err() == nil {
			log.Warn("router advertisement could not be sent", "error", err)
		}
	}
}
