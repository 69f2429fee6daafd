package fstab

import (
	"fmt"
	"strings"
	"testing"
)

func TestAmbiguous(t *testing.T) {
	devices := []Named{
		{Path: "/dev/sda1", UUID: "aa-1", PartLabel: "KDPL_SWAP_disk0", PartUUID: "p1"},
		{Path: "/dev/sda3", UUID: "aa-3", Label: "root", PartLabel: "KDPL_DEPLOY_disk0", PartUUID: "p3"},
		{Path: "/dev/sdb1", UUID: "bb-1", Label: "root", PartLabel: "KDPL_DEPLOY_disk0", PartUUID: "p3"},
		{Path: "/dev/sdb2", UUID: "AA-3", Label: "Root"},
		{Path: "/dev/sdc"},
	}
	for _, tt := range []struct{ name, line, table, want string }{
		{"nothing", "quiet", "# UUID=aa-3 / ext4\n", ""},
		{"all is certain", "root=/dev/sda3", "UUID=bb-1 / ext4 defaults 0 1\nPARTLABEL=KDPL_SWAP_disk0 none swap sw 0 0\n/dev/sda3 /x ext4\nproc /proc proc\nLABEL= /y ext4\n", ""},
		{"root by label", "quiet root=LABEL=root ro", "", "LABEL=root on  is /dev/sda3 /dev/sdb1"},
		{"root by UUID", "root=UUID=AA-3", "", "UUID=AA-3 on  is /dev/sda3 /dev/sdb2"},
		{"by the partition's label", "", "PARTLABEL=KDPL_DEPLOY_disk0 / ext4 defaults 0 1\n", "PARTLABEL=KDPL_DEPLOY_disk0 on / is /dev/sda3 /dev/sdb1"},
		{"by the partition's UUID", "", "PARTUUID=P3 /a\\040b ext4\n", "PARTUUID=P3 on /a b is /dev/sda3 /dev/sdb1"},
		{"by links", "root=/dev/disk/by-label/root", `"UUID=aa-3" /x ext4`, "/dev/disk/by-label/root on  is /dev/sda3 /dev/sdb1;UUID=aa-3 on /x is /dev/sda3 /dev/sdb2"},
		{"not there", "root=LABEL=gone", "LABEL=ROOT / ext4\n", ""},
	} {
		var got []string
		for _, d := range Ambiguous(tt.table, tt.line, devices) {
			got = append(got, fmt.Sprintf("%s on %s is %s", d.Name, d.Point, strings.Join(d.Devices, " ")))
		}
		if text := strings.Join(got, ";"); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
	said := Ambiguous("LABEL=root /data ext4", "root=LABEL=root", devices)
	for i, want := range []string{"the kernel's parameters name root=LABEL=root, which is the name of /dev/sda3 and of /dev/sdb1: ", "/etc/fstab names LABEL=root (/data), which"} {
		if !strings.HasPrefix(said[i].String(), want) {
			t.Errorf("the doubt is told as %q, want %q", said[i], want)
		}
	}
}

// FuzzAmbiguous: the table and the parameters are the image's and the user's.
func FuzzAmbiguous(f *testing.F) {
	f.Add("UUID=a / ext4 defaults 0 1\n\\040 x\n", "root=LABEL=x root= root==", "a", "x")
	f.Fuzz(func(t *testing.T, table, line, uuid, label string) {
		devices := []Named{{Path: "/dev/a", UUID: uuid, Label: label}, {Path: "/dev/b", UUID: uuid}, {Path: "/dev/c"}}
		for _, d := range Ambiguous(table, line, devices) {
			if len(d.Devices) != 2 || uuid == "" {
				t.Errorf("%v: no two devices have that name", d)
			}
		}
	})
}
