package lab

import (
	"fmt"
	"path/filepath"
)

// qemuCommand is the command line of one machine: a network card that boots
// first, a blank disk that boots second, an entropy source, a serial port, and
// no display: with graphics=off SeaBIOS, and with it iPXE, writes to the port.
//
// The machine starts stopped (-S) and stays when its guest powers it off
// (-no-shutdown), so that the process lives as long as the lab does, and power
// is only a matter of QMP. An option whose effect is not plain is explained
// where it stands.
func (p Plan) qemuCommand(qemu string, n Node) []string {
	command := []string{
		qemu,
		"-name", "lab-" + p.Name + "-" + n.Short,
		"-nodefaults", "-no-user-config", "-display", "none",
		"-daemonize", "-pidfile", n.PIDFile,
		"-S", "-no-shutdown",
		"-machine", "q35,graphics=off", "-accel", p.Accelerator, "-cpu", cpuModel(p.Accelerator),
		"-smp", "1", "-m", fmt.Sprint(p.MemoryMiB),
		"-netdev", "tap,id=net0,script=no,downscript=no,vhost=off,ifname=" + n.Short,
		// Without romfile=: QEMU writes the card's PCI number into its default ROM,
		// ipxeROM, only; with any other than the ROM's own SeaBIOS would not run it.
		"-device", "virtio-net-pci,netdev=net0,bootindex=0,mac=" + n.MAC,
		"-device", "virtio-rng-pci",
		// What the guest writes is logged whether or not somebody is attached.
		"-chardev", "socket,id=console,server=on,wait=off,logappend=on,path=" + n.ConsoleSocket + ",logfile=" + n.ConsoleLog,
		"-serial", "chardev:console",
		"-qmp", "unix:" + n.QMPSocket + ",server=on,wait=off",
	}
	command = append(command, p.disks(n)...)
	if p.UEFI {
		command = append(command,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+ovmfCode,
			"-drive", "if=pflash,unit=1,format=raw,file="+n.variables())
	}
	return command
}

// disks are the disks of a machine, the first of which boots after the network.
// The lab lasts as long as they do, hence cache=unsafe.
func (p Plan) disks(n Node) []string {
	var options []string
	kind := "virtio-blk-pci"
	if p.SCSI {
		kind = "scsi-hd"
		options = append(options, "-device", "virtio-scsi-pci")
	}
	for i, file := range n.disks() {
		device := fmt.Sprintf("%s,drive=disk%d,bootindex=%d,serial=%s-disk%d", kind, i, i+1, n.Short, i)
		options = append(options, "-drive", fmt.Sprintf("if=none,id=disk%d,format=raw,cache=unsafe,discard=unmap,file=%s", i, file), "-device", device)
	}
	return options
}

// cpuModel is the processor that a machine sees; "max" makes TCG 15 % slower.
func cpuModel(accelerator string) string {
	if accelerator == KVM {
		return "host"
	}
	return "qemu64"
}

// variables is the node's own copy of the UEFI variable store.
func (n Node) variables() string { return filepath.Join(n.directory(), "vars.fd") }

// output is where QEMU's own messages go.
func (n Node) output() string { return filepath.Join(n.directory(), "qemu.log") }
