package boot

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"kadeploy/coordinator/internal/profile"
)

// TestMachineBoots: a machine in QEMU, with the iPXE of its network card, gets
// its address, its script and a kernel from the service. It has no disk: what it
// does with the kernel is no matter here.
func TestMachineBoots(t *testing.T) {
	if testing.Short() {
		t.Skip("boots machines in QEMU")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("needs the Debian packages qemu-system-x86, ipxe-qemu and ovmf")
	}
	if !inNamespace(t) {
		return
	}
	tap(t)
	asked := make(chan string, 100)
	l, err := net.Listen("tcp", "10.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	files := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		http.NotFound(w, r)
	})}
	go files.Serve(l)
	t.Cleanup(func() { files.Close() })

	s := &site{profiles: map[string]profile.Profile{
		"node-1.site.lab": {Kind: profile.MiniOS, Kernel: "http://10.0.0.1:8080/kernel", Initrd: "i"}}}
	start(t, testConfig(t, s))
	for name, firmware := range map[string][]string{
		"bios": nil,
		"uefi": {"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"},
	} {
		t.Run(name, func(t *testing.T) {
			machine := newMachine(t, firmware)
			for try := range 2 {
				if try == 1 && name != "bios" {
					break // that the script tries again is seen on one of them
				}
				select {
				case path := <-asked:
					if path != "/kernel" {
						t.Errorf("asked for %s", path)
					}
					t.Logf("%s: kernel asked for %.1f s after power-on", name, time.Since(machine.started).Seconds())
				case <-time.After(60 * time.Second):
					t.Fatalf("no kernel was asked for.\n%s", machine.report())
				}
			}
			machine.stop()
			for len(asked) > 0 {
				<-asked
			}
		})
	}
}

// tap makes the interface srv0, whose other end is a machine's network card.
func tap(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "srv0"
	if err := netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"lo": "127.0.0.1/8", "srv0": "10.0.0.1/24"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		a, err := netlink.ParseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrReplace(link, a); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
}

// machine is a QEMU process.
type machine struct {
	cmd     *exec.Cmd
	console string
	output  bytes.Buffer
	started time.Time
	stopped bool
}

func newMachine(t *testing.T, firmware []string) *machine {
	t.Helper()
	m := &machine{console: filepath.Join(t.TempDir(), "console")}
	args := append([]string{
		"-machine", "q35,graphics=off", "-accel", "tcg", "-cpu", "qemu64", "-m", "512", "-nodefaults", "-display", "none",
		"-serial", "file:" + m.console,
		"-netdev", "tap,id=n,ifname=srv0,script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n,mac=" + testNodes[0].MAC + ",bootindex=1",
		"-device", "virtio-rng-pci",
	}, firmware...)
	m.cmd = exec.Command("qemu-system-x86_64", args...)
	m.cmd.Stdout, m.cmd.Stderr = &m.output, &m.output
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	m.started = time.Now()
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	return m
}

func (m *machine) stop() {
	if !m.stopped {
		m.stopped = true
		m.cmd.Process.Kill()
		m.cmd.Wait()
	}
}

// report is what one needs to find out why a machine did not boot.
func (m *machine) report() string {
	m.stop()
	console, err := os.ReadFile(m.console)
	if err != nil {
		console = []byte(err.Error())
	}
	lines := strings.Split(string(console), "\n")
	return fmt.Sprintf("%s\n%s\nend of the console:\n%s", m.cmd, m.output.String(), strings.Join(lines[max(0, len(lines)-40):], "\n"))
}
