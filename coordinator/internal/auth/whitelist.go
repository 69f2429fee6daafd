package auth

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// resolveTime bounds the questions to DNS for one caller.
const resolveTime = 5 * time.Second

// Whitelist says from where callers may come. Empty, it has every place.
type Whitelist struct {
	networks []netip.Prefix
	hosts    []string
	patterns []*regexp.Regexp
}

// NewWhitelist reads addresses, networks, host names and /regular expressions/ on host names.
func NewWhitelist(items []string) (w Whitelist, err error) {
	for _, item := range items {
		switch addr, notAddr := netip.ParseAddr(item); {
		case notAddr == nil:
			w.networks = append(w.networks, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		case len(item) > 1 && strings.HasPrefix(item, "/") && strings.HasSuffix(item, "/"):
			pattern, err := regexp.Compile(item[1 : len(item)-1])
			if err != nil {
				return w, fmt.Errorf("whitelist: %w", err)
			}
			w.patterns = append(w.patterns, pattern)
		case strings.Contains(item, "/"):
			network, err := netip.ParsePrefix(item)
			if err != nil {
				return w, fmt.Errorf("whitelist: %w", err)
			}
			w.networks = append(w.networks, network.Masked())
		default:
			w.hosts = append(w.hosts, item)
		}
	}
	return w, nil
}

// Has tells whether remote, an address with a port, is in the list.
func (w Whitelist) Has(ctx context.Context, remote string) bool {
	if len(w.networks)+len(w.hosts)+len(w.patterns) == 0 {
		return true
	}
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := ap.Addr().Unmap().WithZone("")
	for _, network := range w.networks {
		if network.Contains(addr) {
			return true
		}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	for _, host := range w.hosts {
		if resolvesTo(ctx, host, addr) {
			return true
		}
	}
	return len(w.patterns) > 0 && w.matches(ctx, addr)
}

// matches looks the caller's name up. As its owner writes what it says, a name
// counts only if it also leads back to the caller.
func (w Whitelist) matches(ctx context.Context, addr netip.Addr) bool {
	names, err := net.DefaultResolver.LookupAddr(ctx, addr.String())
	if err != nil {
		return false
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, ".")
		for _, pattern := range w.patterns {
			if pattern.MatchString(name) && resolvesTo(ctx, name, addr) {
				return true
			}
		}
	}
	return false
}

func resolvesTo(ctx context.Context, host string, addr netip.Addr) bool {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false
	}
	for _, a := range found {
		if a.Unmap() == addr {
			return true
		}
	}
	return false
}
