package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/minios/lab"
)

func TestPlan(t *testing.T) {
	p, err := lab.NewPlan(lab.Options{Directory: "/l", Name: "x", Nodes: 12})
	if err != nil {
		t.Fatal(err)
	}
	if p.Namespace != "lab-x" || p.Gateway.String() != "10.42.0.1/24" || len(p.Nodes) != 12 {
		t.Errorf("plan = %s, %s, %d nodes; want lab-x, 10.42.0.1/24, 12", p.Namespace, p.Gateway, len(p.Nodes))
	}
	type identity struct{ Name, Short, MAC, Address, Disk string }
	of := func(i int) identity {
		n := p.Nodes[i]
		return identity{n.Name, n.Short, n.MAC, n.Address.String(), n.Disk}
	}
	for i, want := range map[int]identity{
		0:  {"node-1.lab", "node-1", "52:54:00:42:00:01", "10.42.0.11", "/l/node-1/disk.raw"},
		11: {"node-12.lab", "node-12", "52:54:00:42:00:0c", "10.42.0.22", "/l/node-12/disk.raw"},
	} {
		if diff := cmp.Diff(want, of(i)); diff != "" {
			t.Errorf("node %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestDisks(t *testing.T) {
	p, err := lab.NewPlan(lab.Options{Directory: "/l", Disks: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"file=/l/node-1/disk.raw -device virtio-blk-pci,drive=disk0,bootindex=1,serial=node-1-disk0 ",
		"file=/l/node-1/disk1.raw -device virtio-blk-pci,drive=disk1,bootindex=2,serial=node-1-disk1",
	} {
		if got := p.Nodes[0].CommandLine(); !strings.Contains(got, want) || p.BlockDevice() != "/dev/vda" {
			t.Errorf("%s: command without %q:\n%s", p.BlockDevice(), want, got)
		}
	}
	p, err = lab.NewPlan(lab.Options{Directory: "/l", SCSI: true})
	if got := p.Nodes[0].CommandLine(); err != nil || !strings.Contains(got, "virtio-scsi-pci") || !strings.Contains(got, "scsi-hd,drive=disk0,bootindex=1") || p.BlockDevice() != "/dev/sda" {
		t.Errorf("SCSI: %v, %s: %s", err, p.BlockDevice(), got)
	}
}

func TestPlanPathTooLong(t *testing.T) {
	_, err := lab.NewPlan(lab.Options{Directory: "/" + strings.Repeat("x", 100)})
	if err == nil || !strings.Contains(err.Error(), "too long for sockets") {
		t.Errorf("plan in a long path: %v, want an error that says that it is too long", err)
	}
}

func TestQEMUCommandFollowsFirmware(t *testing.T) {
	for _, uefi := range []bool{false, true} {
		p, err := lab.NewPlan(lab.Options{Directory: "/l", UEFI: uefi})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(p.Nodes[0].CommandLine(), "if=pflash,unit=1,format=raw,file=/l/node-1/vars.fd"); got != uefi {
			t.Errorf("UEFI %t: a variable store in the command: %t\n%s", uefi, got, p.Nodes[0].CommandLine())
		}
	}
}

func TestOpenWithoutLab(t *testing.T) {
	directory := t.TempDir()
	_, err := lab.Open(directory, nil)
	if err == nil || !strings.Contains(err.Error(), "lab up --dir "+directory) {
		t.Errorf("Open of an empty directory: %v, want an error that names the command", err)
	}
	if err := os.WriteFile(filepath.Join(directory, "lab.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Open(directory, nil); err == nil || !strings.Contains(err.Error(), "lab.json") {
		t.Errorf("Open of a broken plan: %v, want an error that names the file", err)
	}
}

func TestUpRefusesBadOptions(t *testing.T) {
	for _, c := range []struct {
		name    string
		options lab.Options
		want    string
	}{
		{"name", lab.Options{Name: "../x"}, "lower-case"},
		{"nodes", lab.Options{Nodes: 101}, "1 to 100"},
		{"negative nodes", lab.Options{Nodes: -1}, "1 to 100"},
		{"disk", lab.Options{DiskBytes: 1}, "at least"},
		{"memory", lab.Options{MemoryMiB: 1}, "at least"},
		{"accelerator", lab.Options{Accelerator: "hvf"}, "auto, tcg, kvm"},
		{"directory", lab.Options{Directory: "a,b"}, "comma"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.options.Directory == "" {
				c.options.Directory = t.TempDir()
			}
			_, err := lab.Up(t.Context(), c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Up = %v, want an error with %q", err, c.want)
			}
		})
	}
}
