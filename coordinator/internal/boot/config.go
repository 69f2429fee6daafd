package boot

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"kadeploy/coordinator/internal/cluster"
)

// Config is what a Service is made from. Fields without "optional" are needed.
type Config struct {
	Interface string         // network interface of the nodes' segment
	Address   netip.Prefix   // own address and network there; optional: the interface's first IPv4 address
	Nodes     []cluster.Node // machines that are answered
	Router    netip.Addr     // optional: no default route is given
	DNS       []netip.Addr   // optional
	Lease     time.Duration  // optional: 24 h

	Repository string            // directory of mini-OS kernels and initrds
	Loaders    string            // directory of iPXE binaries; optional: /usr/lib/ipxe
	UEFILoader string            // optional: snponly.efi, which uses the firmware's network driver; ipxe.efi has its own
	UserFiles  string            // directory of files uploaded for custom profiles; optional: none are served
	Overlay    map[string]string // files put over the mini-OS: path there -> path here; optional

	Coordinator string // HOST:PORT that agents dial
	Fingerprint string // SHA-256 of the coordinator's certificate, hexadecimal
	Params      string // kernel arguments for every mini-OS, such as a console; optional

	HTTPPort            int  // optional: 8069
	TFTPPort            int  // optional: 69
	NoDHCP              bool // the site has its own DHCP server
	NoTFTP              bool
	RouterAdvertisement bool // answer IPv6 router solicitations, so that firmware need not wait for nobody

	Profiles Profiles
	Tokens   Tokens
	Logger   *slog.Logger // optional: none
}

const (
	defaultLoaders = "/usr/lib/ipxe"
	defaultLease   = 24 * time.Hour
	defaultHTTP    = 8069
	defaultTFTP    = 69

	biosLoader = "undionly.kpxe"
	// ipxe.efi (2019) hangs in OVMF when it is to leave the disk to the firmware.
	uefiLoader = "snponly.efi"
)

// complete fills in what was left out, and says what is wrong with the rest.
func (c *Config) complete() error {
	if c.Loaders == "" {
		c.Loaders = defaultLoaders
	}
	if c.UEFILoader == "" {
		c.UEFILoader = uefiLoader
	}
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.HTTPPort == 0 {
		c.HTTPPort = defaultHTTP
	}
	if c.TFTPPort == 0 {
		c.TFTPPort = defaultTFTP
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if c.Profiles == nil || c.Tokens == nil {
		errs = append(errs, errors.New("no source of profiles or of tokens"))
	}
	if c.Repository == "" {
		errs = append(errs, errors.New("no repository of mini-OS kernels"))
	}
	for _, s := range []string{c.Coordinator, c.Fingerprint} {
		if s == "" || strings.ContainsAny(s, " \t\r\n") {
			errs = append(errs, fmt.Errorf("coordinator %q and fingerprint %q must each be one word", c.Coordinator, c.Fingerprint))
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.findAddress()
}

// findAddress takes the interface's first IPv4 address if none was given.
func (c *Config) findAddress() error {
	if c.Address.IsValid() {
		if !c.Address.Addr().Is4() {
			return fmt.Errorf("address %s is not IPv4", c.Address)
		}
		return nil
	}
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return fmt.Errorf("interface %q: %w", c.Interface, err)
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return fmt.Errorf("addresses of interface %s: %w", c.Interface, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			c.Address = p
			return nil
		}
	}
	return fmt.Errorf("interface %s has no IPv4 address: give it one before the boot service starts", c.Interface)
}
