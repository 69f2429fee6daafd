package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDirectory is where ip(8) keeps named namespaces.
const namespaceDirectory = "/run/netns"

// createNetwork makes the namespace with the bridge, the coordinator's address
// on it, and a tap for each node.
func (l *Lab) createNetwork() error {
	if err := l.createNamespace(); err != nil {
		return err
	}
	if err := l.Inside(func() error {
		if err := l.setKernelOptions(); err != nil {
			return err
		}
		return l.createLinks()
	}); err != nil {
		return fmt.Errorf("network of namespace %s: %w", l.plan.Namespace, err)
	}
	return nil
}

// checkNamespace reports a namespace that is there before the lab is.
func (l *Lab) checkNamespace() error {
	if _, err := os.Stat(l.namespaceFile()); err != nil {
		return nil // whatever it is, creating will tell
	}
	return fmt.Errorf("network namespace %s exists already: take down the lab that is called %q (`ip -n %s link` shows its directory), or choose another name",
		l.plan.Namespace, l.plan.Name, l.plan.Namespace)
}

func (l *Lab) createNamespace() error {
	return onThread(func() error {
		handle, err := netns.NewNamed(l.plan.Namespace)
		if err != nil {
			return fmt.Errorf("create network namespace %s: %w", l.plan.Namespace, err)
		}
		return handle.Close()
	})
}

func (l *Lab) namespaceFile() string { return filepath.Join(namespaceDirectory, l.plan.Namespace) }

// setKernelOptions is called inside the namespace, before there are links.
func (l *Lab) setKernelOptions() error {
	for _, o := range []struct {
		name, value string
		optional    bool
	}{
		// Only the bridge speaks IPv6, and it speaks at once: a boot service that
		// answers router solicitations cannot wait for duplicate detection.
		{"ipv6/conf/default/disable_ipv6", "1", true},
		{"ipv6/conf/default/accept_dad", "0", true},
		{"ipv6/conf/default/dad_transmits", "0", true},
		{"ipv6/conf/default/accept_ra", "0", true},
		// A host that defaults to bbr pays twice the CPU on local links.
		{"ipv4/tcp_congestion_control", "cubic", true},
	} {
		err := os.WriteFile("/proc/sys/net/"+o.name, []byte(o.value), 0)
		if err != nil && !o.optional {
			return fmt.Errorf("set net/%s to %s: %w", o.name, o.value, err)
		}
	}
	return nil
}

// createLinks is called inside the namespace.
func (l *Lab) createLinks() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("bring up loopback: %w", err)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = l.plan.Bridge
	attributes.HardwareAddr = bridgeMAC // else it would change with each port
	snooping := false                   // no querier here: a snooping bridge would lose router solicitations
	// The spanning tree protocol is off by default: a port forwards as soon as it is up.
	link := &netlink.Bridge{LinkAttrs: attributes, MulticastSnooping: &snooping}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("create bridge %s: %w", l.plan.Bridge, err)
	}
	if err := netlink.LinkSetAlias(link, l.plan.Directory); err != nil {
		return fmt.Errorf("mark bridge %s as that of %s: %w", l.plan.Bridge, l.plan.Directory, err)
	}
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+l.plan.Bridge+"/disable_ipv6", []byte("0"), 0) // a kernel without IPv6 is fine
	for _, n := range l.plan.Nodes {
		if err := createTap(n.Short, link); err != nil {
			return err
		}
	}
	address := &netlink.Addr{IPNet: &net.IPNet{
		IP: l.plan.Gateway.Addr().AsSlice(), Mask: net.CIDRMask(l.plan.Gateway.Bits(), 32)}}
	if err := netlink.AddrAdd(link, address); err != nil {
		return fmt.Errorf("add address %s to %s: %w", l.plan.Gateway, l.plan.Bridge, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", l.plan.Bridge, err)
	}
	return nil
}

func createTap(name string, master netlink.Link) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	tap := &netlink.Tuntap{LinkAttrs: attributes, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
	if err := netlink.LinkAdd(tap); err != nil {
		return fmt.Errorf("create tap %s: %w", name, err)
	}
	for _, file := range tap.Fds { // the tap is persistent; QEMU opens its own
		file.Close()
	}
	if err := netlink.LinkSetMaster(tap, master); err != nil {
		return fmt.Errorf("add tap %s to %s: %w", name, master.Attrs().Name, err)
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		return fmt.Errorf("bring up tap %s: %w", name, err)
	}
	return nil
}

// removeNetwork deletes the namespace, and with it its links; it says which
// processes keep it alive, and leaves them alone.
func (l *Lab) removeNetwork() error {
	if owner := l.namespaceOwner(); owner != "" && owner != l.plan.Directory {
		l.log.Warn("the namespace is another lab's, left alone", "namespace", l.plan.Namespace, "directory", owner)
		return nil
	}
	for _, p := range l.insiders() {
		l.log.Warn("a process still runs in the lab's namespace: end it", "pid", p.pid, "program", p.program, "namespace", l.plan.Namespace)
	}
	file := l.namespaceFile()
	if err := unix.Unmount(file, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmount network namespace %s: %w", file, err)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace: %w", err)
	}
	return nil
}

// namespaceOwner is the directory of the lab whose bridge is in the namespace;
// empty if there is no such namespace, or no bridge in it.
func (l *Lab) namespaceOwner() string {
	owner := ""
	_ = l.Inside(func() error {
		link, err := netlink.LinkByName(l.plan.Bridge)
		if err == nil {
			owner = link.Attrs().Alias
		}
		return err
	})
	return owner
}
