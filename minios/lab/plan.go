package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Plan is what a lab consists of, as written to lab.json.
type Plan struct {
	Name              string       `json:"name"`
	Directory         string       `json:"directory"` // absolute
	Namespace         string       `json:"namespace"` // as `ip netns` names it
	Bridge            string       `json:"bridge"`    // inside the namespace
	Gateway           netip.Prefix `json:"gateway"`   // address of the coordinator on the bridge
	Domain            string       `json:"domain"`
	UEFI              bool         `json:"uefi"`
	Accelerator       string       `json:"accelerator"`
	AcceleratorReason string       `json:"accelerator_reason"`
	MemoryMiB         int          `json:"memory_mib"`
	DiskBytes         int64        `json:"disk_bytes"`
	SCSI              bool         `json:"scsi"`
	Nodes             []Node       `json:"nodes"`
}

// Node is one machine.
type Node struct {
	Name          string     `json:"name"`  // node-1.lab
	Short         string     `json:"short"` // node-1; its tap is called the same
	MAC           string     `json:"mac"`
	Address       netip.Addr `json:"address"` // the one that a boot service is to give to it
	Disk          string     `json:"disk"`    // the first one
	MoreDisks     []string   `json:"more_disks,omitempty"`
	ConsoleLog    string     `json:"console_log"`
	ConsoleSocket string     `json:"console_socket"`
	QMPSocket     string     `json:"qmp_socket"`
	PIDFile       string     `json:"pid_file"`
	Command       []string   `json:"command"` // QEMU's
}

const (
	planFile = "lab.json"
	domain   = "lab"
	bridge   = "lab0"
	// maxSocketPath is what sun_path holds, with its final zero (unix(7)).
	maxSocketPath = 107
)

var (
	gateway      = netip.MustParsePrefix("10.42.0.1/24")
	firstAddress = [4]byte{10, 42, 0, 11}
	firstMAC     = net.HardwareAddr{0x52, 0x54, 0x00, 0x42, 0x00, 0x01} // 52:54:00 is QEMU's own
	bridgeMAC    = net.HardwareAddr{0x52, 0x54, 0x00, 0x42, 0x00, 0xfe}
)

func newPlan(o Options, h host, accelerator string) (Plan, error) {
	directory, err := filepath.Abs(o.Directory)
	if err != nil {
		return Plan{}, fmt.Errorf("lab directory %s: %w", o.Directory, err)
	}
	p := Plan{
		Name: o.Name, Directory: directory, Namespace: "lab-" + o.Name, Bridge: bridge, Gateway: gateway,
		Domain: domain, UEFI: o.UEFI, Accelerator: accelerator, MemoryMiB: o.MemoryMiB, DiskBytes: o.DiskBytes, SCSI: o.SCSI,
	}
	for i := range o.Nodes {
		n := newNode(directory, i)
		for k := 1; k < o.Disks; k++ {
			n.MoreDisks = append(n.MoreDisks, filepath.Join(n.directory(), fmt.Sprintf("disk%d.raw", k)))
		}
		if len(n.ConsoleSocket) > maxSocketPath {
			return Plan{}, fmt.Errorf("lab directory %s: its path is too long for sockets in it: choose a shorter one", directory)
		}
		n.Command = p.qemuCommand(h.qemu, n)
		p.Nodes = append(p.Nodes, n)
	}
	return p, nil
}

func newNode(directory string, index int) Node {
	short := fmt.Sprintf("node-%d", index+1)
	mac := append(net.HardwareAddr(nil), firstMAC...)
	mac[5] += byte(index)
	address := firstAddress
	address[3] += byte(index)
	file := func(name string) string { return filepath.Join(directory, short, name) }
	return Node{
		Name: short + "." + domain, Short: short, MAC: mac.String(), Address: netip.AddrFrom4(address),
		Disk: file("disk.raw"), ConsoleLog: file("console.log"), ConsoleSocket: file("console.sock"),
		QMPSocket: file("qmp.sock"), PIDFile: file("qemu.pid"),
	}
}

// BlockDevice is the first disk as a node's kernel calls it.
func (p Plan) BlockDevice() string {
	if p.SCSI {
		return "/dev/sda"
	}
	return "/dev/vda"
}

// disks are the files of all disks, in order.
func (n Node) disks() []string { return append([]string{n.Disk}, n.MoreDisks...) }

// directoryOf is where all files of a node are.
func (n Node) directory() string { return filepath.Dir(n.Disk) }

// CommandLine is the node's QEMU command as one would type it.
func (n Node) CommandLine() string { return strings.Join(n.Command, " ") }

// checkFree reports a lab that is up in the directory.
func (p Plan) checkFree() error {
	if _, err := os.Stat(filepath.Join(p.Directory, planFile)); err == nil {
		return p.alreadyUp()
	}
	return nil
}

func (p Plan) alreadyUp() error {
	return fmt.Errorf("a lab is already up in %s: take it down with `lab down --dir %s`, or use another directory and name",
		p.Directory, p.Directory)
}

// create writes the plan; it fails if the directory holds a lab already.
func (p Plan) create() error {
	if err := os.MkdirAll(p.Directory, 0o755); err != nil {
		return fmt.Errorf("create lab directory: %w", err)
	}
	content, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", planFile, err)
	}
	temporary, err := os.CreateTemp(p.Directory, planFile+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", planFile, err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(append(content, '\n'))
	if err := errors.Join(err, temporary.Chmod(0o644), temporary.Sync(), temporary.Close()); err != nil {
		return fmt.Errorf("write %s: %w", temporary.Name(), err)
	}
	// A link, other than a rename, does not replace what another `up` put there.
	err = os.Link(temporary.Name(), filepath.Join(p.Directory, planFile))
	if errors.Is(err, os.ErrExist) {
		return p.alreadyUp()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", planFile, err)
	}
	return nil
}

func readPlan(directory string) (Plan, error) {
	file := filepath.Join(directory, planFile)
	content, err := os.ReadFile(file)
	if err != nil {
		return Plan{}, fmt.Errorf("read the lab's plan: %w", err)
	}
	var p Plan
	if err := json.Unmarshal(content, &p); err != nil {
		return Plan{}, fmt.Errorf("read the lab's plan %s: %w", file, err)
	}
	if p.Directory != directory || len(p.Nodes) == 0 {
		return Plan{}, fmt.Errorf("%s is the plan of a lab in %q with %d nodes: was the directory moved?", file, p.Directory, len(p.Nodes))
	}
	return p, nil
}

// remove deletes what the plan names, the plan last, and the directory if nothing else is in it.
func (p Plan) remove() error {
	var errs []error
	for _, n := range p.Nodes {
		errs = append(errs, os.RemoveAll(n.directory()))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the lab's files: %w", err)
	}
	if err := os.Remove(filepath.Join(p.Directory, planFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the lab's plan: %w", err)
	}
	// Best effort: it may hold files of others, and those are not ours to judge.
	_ = os.Remove(p.Directory)
	return nil
}
