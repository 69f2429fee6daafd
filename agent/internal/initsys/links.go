package initsys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loopbackUp gives the node its 127.0.0.1.
func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up the loopback interface: %w", err)
	}
	return nil
}

// connected waits until at least one interface that may be used has a link, and
// returns those that have one, the preferred one first. Interfaces are brought up
// as their drivers make them.
func connected(ctx context.Context, a Arguments, logger *slog.Logger) ([]netlink.Link, error) {
	done := make(chan struct{})
	defer close(done)
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribe(updates, done); err != nil {
		return nil, fmt.Errorf("watch network interfaces: %w", err)
	}
	deadline := time.NewTimer(a.LinkTimeout)
	defer deadline.Stop()
	tried := map[int]bool{}
	for {
		links, err := netlink.LinkList()
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("list network interfaces: %w", err)
		}
		var ready []netlink.Link
		for _, link := range links {
			attrs := link.Attrs()
			if !usable(link, a) {
				continue
			}
			if attrs.Flags&unix.IFF_UP == 0 && !tried[attrs.Index] {
				tried[attrs.Index] = true
				if err := netlink.LinkSetUp(link); err != nil {
					logger.Warn("cannot bring up interface", "interface", attrs.Name, "cause", err)
				}
			}
			// IFF_LOWER_UP is the carrier (netdevice(7)).
			if attrs.RawFlags&unix.IFF_LOWER_UP != 0 {
				ready = append(ready, link)
			}
		}
		if len(ready) > 0 {
			slices.SortStableFunc(ready, func(x, y netlink.Link) int {
				return cmp.Compare(rank(x.Attrs(), a), rank(y.Attrs(), a))
			})
			return ready, nil
		}
		select {
		case _, ok := <-updates:
			if !ok {
				return nil, errors.New("watch network interfaces: the kernel's messages ended")
			}
		case <-deadline.C:
			return nil, fmt.Errorf("no network interface has a link after %s: %s", a.LinkTimeout, names(links))
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// usable tells whether an interface is hardware that can boot a node, and the one that ETH_DEV demands, if it is there.
func usable(link netlink.Link, a Arguments) bool {
	attrs := link.Attrs()
	if attrs.Flags&unix.IFF_LOOPBACK != 0 || link.Type() != "device" {
		return false
	}
	_, err := os.Stat(filepath.Join("/sys/class/net", attrs.Name, "device"))
	return err == nil
}

// rank orders interfaces: the one that booted the node, the one of ETH_DEV, then as the kernel numbered them.
func rank(attrs *netlink.LinkAttrs, a Arguments) int {
	switch {
	case a.Interface != "" && attrs.Name == a.Interface:
		return -2
	case a.BootMAC != "" && attrs.HardwareAddr.String() == a.BootMAC:
		return -1
	}
	return attrs.Index
}

func names(links []netlink.Link) string {
	var list []string
	for _, link := range links {
		if link.Attrs().Flags&unix.IFF_LOOPBACK == 0 {
			list = append(list, link.Attrs().Name)
		}
	}
	if len(list) == 0 {
		return "none was found: is there a driver for it?"
	}
	return "found " + strings.Join(list, ", ")
}
