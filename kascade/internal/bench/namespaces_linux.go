package bench

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Names of the namespaces: prefix, pid of the benchmark, place. The hub holds the bridge.
const (
	namespaceDir    = "/run/netns"
	namespacePrefix = "kascade-bench-"
	hubName         = "hub"
	bridgeName      = "bridge"
	nodeLink        = "eth0" // the node's end of its cable
)

// namespaces is a bridge in a namespace of its own, and a namespace for each place, on a cable.
type namespaces struct {
	hub   *netlink.Handle
	open  []netns.NsHandle  // hub, place 0, place 1, …
	nodes []*netlink.Handle // in the namespace of each place

	mu   sync.Mutex // several cables may be pulled at once
	cuts []int
}

// network makes the network of a case.
func (b *Bench) network(c *Case) (network, error) {
	if b.Loopback {
		return loopback{}, nil
	}
	if os.Getuid() != 0 {
		return nil, errors.New("network namespaces need root: run as root, or with --loopback")
	}
	if err := sweep(); err != nil {
		b.Log("leftovers of an earlier benchmark cannot be removed: %v", err)
	}
	n := &namespaces{}
	if err := n.make(c); err != nil {
		return nil, errors.Join(fmt.Errorf("make the network: %w", err), n.remove())
	}
	return n, nil
}

func (n *namespaces) make(c *Case) error {
	hub, err := n.create(hubName)
	if err != nil {
		return err
	}
	if n.hub, err = netlink.NewHandleAt(hub, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName, TxQLen: -1}}
	if err := n.hub.LinkAdd(bridge); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	if err := n.hub.LinkSetUp(bridge); err != nil {
		return err
	}
	for place := range c.Nodes + 1 {
		rate := c.Rate
		if r, ok := c.SlowLinks[place]; ok {
			rate = r
		}
		if err := n.plug(place, bridge, rate); err != nil {
			return fmt.Errorf("place %d: %w", place, err)
		}
	}
	return nil
}

// create makes a namespace and gives it a name, on a thread that ends with that.
func (n *namespaces) create(suffix string) (netns.NsHandle, error) {
	return n.createNamed(namespaceName(suffix))
}

func (n *namespaces) createNamed(name string) (netns.NsHandle, error) {
	type made struct {
		ns  netns.NsHandle
		err error
	}
	c := make(chan made)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is in the new namespace
		ns, err := netns.NewNamed(name)
		c <- made{ns, err}
	}()
	m := <-c
	if m.err != nil {
		return m.ns, fmt.Errorf("namespace %s: %w", name, m.err)
	}
	n.open = append(n.open, m.ns)
	return m.ns, nil
}

func namespaceName(suffix string) string {
	return fmt.Sprintf("%s%d-%s", namespacePrefix, os.Getpid(), suffix)
}

// plug makes the namespace of a place, and its cable to the bridge, shaped at both ends.
func (n *namespaces) plug(place int, bridge *netlink.Bridge, rate int64) error {
	ns, err := n.create(strconv.Itoa(place))
	if err != nil {
		return err
	}
	node, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	n.nodes = append(n.nodes, node)
	port := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: portName(place), MasterIndex: bridge.Index, TxQLen: 1000},
		PeerName:  nodeLink, PeerNamespace: netlink.NsFd(int(ns)), PeerTxQLen: 1000,
	}
	if err := n.hub.LinkAdd(port); err != nil {
		return fmt.Errorf("cable: %w", err)
	}
	if err := n.hub.LinkSetUp(port); err != nil {
		return err
	}
	lo, err := node.LinkByName("lo")
	if err != nil {
		return err
	}
	eth, err := node.LinkByName(nodeLink)
	if err != nil {
		return err
	}
	if err := errors.Join(node.LinkSetUp(lo), node.LinkSetUp(eth), n.route(node, eth, place)); err != nil {
		return err
	}
	if rate == 0 {
		return nil
	}
	return errors.Join(shape(n.hub, port, rate), shape(node, eth, rate))
}

// route gives a place its address, and cubic to whoever it talks to.
func (n *namespaces) route(node *netlink.Handle, eth netlink.Link, place int) error {
	ip := net.IP(n.address(place).AsSlice())
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(16, 32)}, Flags: unix.IFA_F_NOPREFIXROUTE}
	if err := node.AddrAdd(eth, addr); err != nil {
		return fmt.Errorf("address %v: %w", ip, err)
	}
	_, all, _ := net.ParseCIDR(addressRange)
	route := &netlink.Route{LinkIndex: eth.Attrs().Index, Dst: all, Scope: netlink.SCOPE_LINK, Congctl: "cubic"}
	if err := node.RouteAdd(route); err != nil {
		return fmt.Errorf("route with cubic: %w", err)
	}
	return nil
}

// shape limits what leaves through a link.
func shape(h *netlink.Handle, link netlink.Link, rate int64) error {
	// A whole GSO packet of 64 KiB must fit, or the kernel cuts it up; a millisecond is what
	// a timer may be late.
	burst := uint32(min(max(160<<10, rate/1000), math.MaxUint32/4))
	queue := uint32(min(max(256<<10, rate/50), math.MaxUint32/4)) // 20 ms, as a switch has
	err := h.QdiscAdd(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       uint64(rate), Limit: burst + queue, Buffer: netlink.Xmittime(uint64(rate), burst),
	})
	if err != nil {
		return fmt.Errorf("shape to %d bytes/s (tbf): %w", rate, err)
	}
	return nil
}

// addressRange is where the places are; it is in no namespace but those made here.
const addressRange = "10.111.0.0/16"

func (n *namespaces) address(place int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 111, byte(place / 250), byte(place%250 + 1)})
}

func portName(place int) string { return "port" + strconv.Itoa(place) }

// start starts a command in a place's namespace. It dies with this process.
func (n *namespaces) start(place int, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer here.Close()
	if err := netns.Set(n.open[place+1]); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace of place %d: %w", place, err)
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err = cmd.Start()
	if back := netns.Set(here); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

func (n *namespaces) cut(place int) error {
	n.mu.Lock()
	n.cuts = append(n.cuts, place)
	n.mu.Unlock()
	return n.set(place, n.hub.LinkSetDown)
}

// mend plugs the cables in, waits until both ends know it, and lets every place forget who could
// not be reached: else its next connection could fail for what was before.
func (n *namespaces) mend() error {
	n.mu.Lock()
	cuts := n.cuts
	n.cuts = nil
	n.mu.Unlock()
	if len(cuts) == 0 {
		return nil
	}
	var errs []error
	for _, place := range cuts {
		errs = append(errs, n.set(place, n.hub.LinkSetUp), n.awaitCarrier(place))
	}
	for place := range n.nodes {
		errs = append(errs, n.forget(place))
	}
	return errors.Join(errs...)
}

// carrierWithin is how long the kernel may take to tell that a cable is in; it does so once a
// second.
const carrierWithin = 5 * time.Second

func (n *namespaces) awaitCarrier(place int) error {
	for end := time.Now().Add(carrierWithin); ; time.Sleep(20 * time.Millisecond) {
		eth, err := n.nodes[place].LinkByName(nodeLink)
		if err != nil || eth.Attrs().OperState == netlink.OperUp {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the cable of place %d has no carrier after %v", place, carrierWithin)
		}
	}
}

// forget removes what a place knows of its neighbours.
func (n *namespaces) forget(place int) error {
	eth, err := n.nodes[place].LinkByName(nodeLink)
	if err != nil {
		return err
	}
	known, err := n.nodes[place].NeighList(eth.Attrs().Index, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("neighbours of place %d: %w", place, err)
	}
	for _, k := range known {
		if err := n.nodes[place].NeighDel(&k); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("neighbour %v of place %d: %w", k.IP, place, err)
		}
	}
	return nil
}

func (n *namespaces) set(place int, do func(netlink.Link) error) error {
	port, err := n.hub.LinkByName(portName(place))
	if err != nil {
		return fmt.Errorf("cable of place %d: %w", place, err)
	}
	return do(port)
}

func (n *namespaces) remove() error {
	if n.hub != nil {
		n.hub.Close()
	}
	for _, node := range n.nodes {
		node.Close()
	}
	var errs []error
	for i, ns := range n.open {
		errs = append(errs, ns.Close())
		suffix := hubName
		if i > 0 {
			suffix = strconv.Itoa(i - 1)
		}
		errs = append(errs, netns.DeleteNamed(namespaceName(suffix)))
	}
	n.open = nil
	return errors.Join(errs...)
}

// sweep removes the namespaces of benchmarks that do not run any more; their cables and
// bridges go with them.
func sweep() error {
	left, err := filepath.Glob(namespaceDir + "/" + namespacePrefix + "*")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range left {
		name := filepath.Base(path)
		digits, _, _ := strings.Cut(strings.TrimPrefix(name, namespacePrefix), "-")
		if pid, err := strconv.Atoi(digits); err != nil || alive(pid) {
			continue
		}
		if err := netns.DeleteNamed(name); errors.Is(err, unix.EINVAL) { // no mount: a bare file
			err = os.Remove(path)
			errs = append(errs, err)
		} else {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
