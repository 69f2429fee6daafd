package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"kadeploy/coordinator/internal/cluster"
)

const (
	maxDatagram  = 4096 // an Ethernet frame with the fragments that firmware may send
	maxStrangers = 1024 // unknown MACs remembered, so that each is logged once
)

// dhcp answers known nodes, each with its one address. There is no pool and no
// lease database: the address belongs to the node whether it is up or not.
type dhcp struct {
	nodes    *index
	self     netip.Addr
	mask     net.IPMask
	common   []dhcpv4.Modifier // options that every node gets
	scriptAt string            // URL of the boot script
	loaderAt string            // URL of the directory of loaders
	uefi     string            // name of the UEFI loader
	log      *slog.Logger

	mu        sync.Mutex
	strangers map[string]bool
}

func newDHCP(cfg *Config, nodes *index, base string) *dhcp {
	d := &dhcp{
		nodes: nodes, self: cfg.Address.Addr(),
		mask:     net.CIDRMask(cfg.Address.Bits(), 32),
		scriptAt: base + pathScript, loaderAt: base + pathLoaders,
		uefi: cfg.UEFILoader, log: cfg.Logger, strangers: map[string]bool{},
	}
	d.common = []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(d.self.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptSubnetMask(d.mask)),
	}
	if cfg.Router.IsValid() {
		d.common = append(d.common, dhcpv4.WithRouter(cfg.Router.AsSlice()))
	}
	if len(cfg.DNS) > 0 {
		servers := make([]net.IP, len(cfg.DNS))
		for i, a := range cfg.DNS {
			servers[i] = a.AsSlice()
		}
		d.common = append(d.common, dhcpv4.WithDNS(servers...))
	}
	d.common = append(d.common, dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(cfg.Lease)))
	return d
}

// serve answers until ctx ends, then closes conn.
func (d *dhcp) serve(ctx context.Context, conn net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, unix.ENETDOWN) {
				continue // the link went down and up again; the socket is still good
			}
			return fmt.Errorf("receive DHCP requests: %w", err)
		}
		reply, to := d.answer(buf[:n])
		if reply == nil {
			continue
		}
		if _, err := conn.WriteTo(reply.ToBytes(), net.UDPAddrFromAddrPort(to)); err != nil && ctx.Err() == nil {
			d.log.Warn("DHCP answer could not be sent", "mac", reply.ClientHWAddr.String(), "to", to.String(), "error", err)
		}
	}
}

// answer is the reply to one datagram and where it goes; nil if it is not for us.
func (d *dhcp) answer(datagram []byte) (*dhcpv4.DHCPv4, netip.AddrPort) {
	req, err := dhcpv4.FromBytes(datagram)
	if err != nil || req.OpCode != dhcpv4.OpcodeBootRequest || len(req.ClientHWAddr) != 6 {
		return nil, netip.AddrPort{}
	}
	node, known := d.nodes.byMAC[string(req.ClientHWAddr)]
	if !known {
		d.noteStranger(req.ClientHWAddr)
		return nil, netip.AddrPort{}
	}
	kind := d.replyType(req, node)
	if kind == dhcpv4.MessageTypeNone {
		return nil, netip.AddrPort{}
	}
	reply, err := d.reply(req, node, kind)
	if err != nil {
		d.log.Warn("DHCP request could not be answered", "node", node.Name, "error", err)
		return nil, netip.AddrPort{}
	}
	d.log.Debug("DHCP", "node", node.Name, "asked", req.MessageType().String(), "answered", kind.String(), "file", reply.BootFileName)
	return reply, destination(req, kind)
}

// replyType follows RFC 2131, section 4.3. None: no answer is due.
func (d *dhcp) replyType(req *dhcpv4.DHCPv4, node *cluster.Node) dhcpv4.MessageType {
	if id := req.Options.Get(dhcpv4.OptionServerIdentifier); len(id) > 0 && !net.IP(id).Equal(d.self.AsSlice()) {
		return dhcpv4.MessageTypeNone // it accepted another server's offer
	}
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeInform:
		return dhcpv4.MessageTypeAck
	case dhcpv4.MessageTypeRequest:
		wants := req.RequestedIPAddress()
		if wants == nil || wants.IsUnspecified() {
			wants = req.ClientIPAddr
		}
		if !wants.Equal(node.Address.AsSlice()) {
			return dhcpv4.MessageTypeNak
		}
		return dhcpv4.MessageTypeAck
	case dhcpv4.MessageTypeDecline:
		d.log.Error("a node refused its address because another machine uses it", "node", node.Name, "address", node.Address.String())
	}
	return dhcpv4.MessageTypeNone
}

// reply fills in the answer.
func (d *dhcp) reply(req *dhcpv4.DHCPv4, node *cluster.Node, kind dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	if kind == dhcpv4.MessageTypeNak {
		reply, err := dhcpv4.NewReplyFromRequest(req, dhcpv4.WithMessageType(kind),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(d.self.AsSlice())))
		if err == nil {
			reply.YourIPAddr = net.IPv4zero
		}
		return reply, err
	}
	reply, err := dhcpv4.NewReplyFromRequest(req, append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind)}, d.common...)...)
	if err != nil {
		return nil, err
	}
	if req.MessageType() == dhcpv4.MessageTypeInform {
		reply.Options.Del(dhcpv4.OptionIPAddressLeaseTime)
		reply.ClientIPAddr = req.ClientIPAddr
	} else {
		reply.YourIPAddr = node.Address.AsSlice()
	}
	reply.UpdateOption(dhcpv4.OptHostName(node.Name))
	if domain := domainOf(node.Name); domain != "" {
		reply.UpdateOption(dhcpv4.OptDomainName(domain))
	}
	d.addBoot(reply, firmwareOf(req), node)
	return reply, nil
}

// addBoot names the boot file that the client's firmware can use.
func (d *dhcp) addBoot(reply *dhcpv4.DHCPv4, fw firmware, node *cluster.Node) {
	file := ""
	switch fw {
	case ipxeScript:
		file = d.scriptAt
		reply.UpdateOption(dhcpv4.OptGeneric(optIPXE, []byte{ipxeNoProxyDHCP, 1, 1}))
	case biosPXE:
		file = biosLoader
	case uefiPXE:
		file = d.uefi
	case uefiHTTP:
		// The client takes the file by HTTP only if the answer says so too (UEFI 2.10, section 24.7.3.1).
		reply.UpdateOption(dhcpv4.OptClassIdentifier("HTTPClient"))
		file = d.loaderAt + d.uefi
	case unknownPXE:
		d.log.Warn("no boot loader for this node's firmware: set it to boot from the network in x86 BIOS or UEFI mode", "node", node.Name)
	}
	if file == "" {
		return
	}
	reply.ServerIPAddr = d.self.AsSlice()
	reply.BootFileName = file
	reply.UpdateOption(dhcpv4.OptBootFileName(file))
	reply.UpdateOption(dhcpv4.OptTFTPServerName(d.self.String()))
}

// destination follows RFC 2131, section 4.1. A client without an address is
// always answered by broadcast: that needs no entry in the ARP table.
func destination(req *dhcpv4.DHCPv4, kind dhcpv4.MessageType) netip.AddrPort {
	if relay, ok := unicast(req.GatewayIPAddr); ok {
		return netip.AddrPortFrom(relay, dhcpv4.ServerPort)
	}
	if client, ok := unicast(req.ClientIPAddr); ok && kind != dhcpv4.MessageTypeNak {
		return netip.AddrPortFrom(client, dhcpv4.ClientPort)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpv4.ClientPort)
}

func unicast(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip.To4())
	return a, ok && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// noteStranger logs an unknown MAC the first time that it is seen.
func (d *dhcp) noteStranger(mac net.HardwareAddr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.strangers[string(mac)] || len(d.strangers) >= maxStrangers {
		return
	}
	d.strangers[string(mac)] = true
	d.log.Info("DHCP request of an unknown machine is left unanswered", "mac", mac.String())
}
