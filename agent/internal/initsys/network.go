package initsys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Time limits of the address search. Servers answer in milliseconds; a switch
// port may drop frames for a while after its link came up.
const (
	dhcpAnswer = 2 * time.Second // one try
	dhcpTries  = 3               // on one interface before the next is asked
	dhcpPause  = time.Second     // after all of them were asked in vain
)

// configured is an interface with its lease.
type configured struct {
	link  netlink.Link
	lease *nclient4.Lease
	Lease
}

// network gets the node an address, trying until ctx ends, and its names.
func (s *system) network(ctx context.Context) error {
	for {
		links, err := connected(ctx, s.args, s.logger)
		if err == nil {
			var c *configured
			if c, err = s.firstLease(ctx, links); err == nil {
				return s.adopt(ctx, c)
			}
		}
		if ctx.Err() != nil {
			return err
		}
		s.logger.Error("no network yet, trying again", "cause", err)
		select {
		case <-time.After(dhcpPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// firstLease asks on one interface after the other.
func (s *system) firstLease(ctx context.Context, links []netlink.Link) (*configured, error) {
	var failures []error
	for _, link := range links {
		name := link.Attrs().Name
		lease, err := requestLease(ctx, name)
		if err != nil {
			failures = append(failures, fmt.Errorf("DHCP on %s: %w", name, err))
			continue
		}
		return &configured{link: link, lease: lease, Lease: readLease(lease.ACK)}, nil
	}
	return nil, errors.Join(failures...)
}

func requestLease(ctx context.Context, interfaceName string) (*nclient4.Lease, error) {
	client, err := nclient4.New(interfaceName, nclient4.WithTimeout(dhcpAnswer), nclient4.WithRetry(dhcpTries))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Request(ctx, dhcpOptions)
}

func dhcpOptions(d *dhcpv4.DHCPv4) {
	dhcpv4.WithRequestedOptions(
		dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
		dhcpv4.OptionHostName, dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU,
		dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionClasslessStaticRoute,
	)(d)
	d.UpdateOption(dhcpv4.OptClassIdentifier("kadeploy"))
}

// adopt applies a lease, names the node, and sees to the renewal.
func (s *system) adopt(ctx context.Context, c *configured) error {
	if err := apply(c); err != nil {
		return err
	}
	fqdn := c.Name(s.args.Node)
	if err := setNames(fqdn, c.Lease); err != nil {
		s.logger.Warn("cannot set all names", "cause", err)
	}
	s.logger.Info("network is up", "interface", c.link.Attrs().Name, "address", c.Address.String(), "name", fqdn)
	s.spawn("lease", func() { s.renew(ctx, c) })
	return nil
}

func apply(c *configured) error {
	name := c.link.Attrs().Name
	if c.MTU > 0 {
		if err := netlink.LinkSetMTU(c.link, c.MTU); err != nil {
			return fmt.Errorf("set the MTU of %s to %d: %w", name, c.MTU, err)
		}
	}
	if err := netlink.AddrReplace(c.link, &netlink.Addr{IPNet: &c.Address}); err != nil {
		return fmt.Errorf("set the address %s on %s: %w", c.Address.String(), name, err)
	}
	for _, r := range c.Routes {
		route := &netlink.Route{LinkIndex: c.link.Attrs().Index, Dst: &r.Destination, Gw: r.Gateway, Src: c.Address.IP}
		if r.Gateway == nil {
			route.Scope = netlink.SCOPE_LINK
		} else if !c.Address.Contains(r.Gateway) {
			route.Flags = int(netlink.FLAG_ONLINK)
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s by %s on %s: %w", r.Destination.String(), r.Gateway, name, err)
		}
	}
	return nil
}

func setNames(fqdn string, l Lease) error {
	return errors.Join(
		unix.Sethostname([]byte(fqdn)),
		os.WriteFile("/etc/hostname", []byte(fqdn+"\n"), 0o644),
		os.WriteFile("/etc/hosts", []byte(hostsFile(fqdn, l.Address.IP)), 0o644),
		os.WriteFile("/etc/resolv.conf", []byte(resolvConf(l, fqdn)), 0o644),
	)
}

// renew keeps the lease. If no server will, the node keeps its address all the
// same: a deployment in progress is worth more than the rule.
func (s *system) renew(ctx context.Context, c *configured) {
	name := c.link.Attrs().Name
	wait := max(c.Duration/2, time.Minute) // T1 (RFC 2131, 4.4.5)
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		lease, err := renewLease(ctx, name, c.lease)
		if err != nil {
			s.logger.Warn("cannot renew the DHCP lease", "interface", name, "cause", err)
			wait = max(wait/2, time.Minute)
			continue
		}
		next := &configured{link: c.link, lease: lease, Lease: readLease(lease.ACK)}
		if !next.Address.IP.Equal(c.Address.IP) {
			s.logger.Warn("the DHCP server offers another address, the old one stays too",
				"interface", name, "old", c.Address.IP, "new", next.Address.IP)
		}
		if err := apply(next); err != nil {
			s.logger.Warn("cannot apply the renewed lease", "cause", err)
		}
		c, wait = next, max(next.Duration/2, time.Minute)
	}
}

func renewLease(ctx context.Context, interfaceName string, old *nclient4.Lease) (*nclient4.Lease, error) {
	client, err := nclient4.New(interfaceName, nclient4.WithTimeout(dhcpAnswer), nclient4.WithRetry(dhcpTries))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	lease, err := client.Renew(ctx, old)
	if _, refused := errors.AsType[*nclient4.ErrNak](err); refused {
		return client.Request(ctx, dhcpOptions)
	}
	return lease, err
}
