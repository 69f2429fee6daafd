package boot

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// inNamespace runs the calling test again, alone, in a process with a network
// namespace of its own, and reports there. It returns true in that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "KADEPLOY_BOOT_TEST_NETNS"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network namespace and raw sockets")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v=true", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig follows the thread
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// segment makes a pair of linked interfaces: srv0 with the service's address,
// cli0 with a node's MAC and, for HTTP and TFTP, its address.
func segment(t *testing.T, hw string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "srv0"
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "cli0", PeerHardwareAddr: mac(hw)}))
	for name, address := range map[string]string{"lo": "", "srv0": "10.0.0.1/24", "cli0": "10.0.0.11/32"} {
		link, err := netlink.LinkByName(name)
		must(err)
		if address != "" {
			ip, network, err := net.ParseCIDR(address)
			must(err)
			must(netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: network.Mask}}))
		}
		must(netlink.LinkSetUp(link))
	}
}
