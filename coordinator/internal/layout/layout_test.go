package layout

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/tree"
)

func read(t *testing.T, text, root string) ([]Part, []string) {
	t.Helper()
	doc, err := tree.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	parts := Read(doc.Root(), root)
	var problems []string
	for _, p := range append(doc.Problems(), doc.Unused()...) {
		problems = append(problems, p.Path+": "+p.Reason)
	}
	return parts, problems
}

const several = `
- {label: BIOS, number: 6, size: 1MiB, type: bios}
- {label: EFI, size: 512MiB, type: esp, mount: /boot/efi, options: "umask=0077,nofail"}
- {label: SWAP, size: 4GB, type: swap}
- {label: ROOT, size: 33.3%, mount: /, mkfs: -m 0}
- {label: LOG, disk: disk1, size: rest, filesystem: xfs, mount: /var/log}
- {label: VAR, size: rest, filesystem: ext4, mount: /var}
- {label: RAW, disk: disk1, size: 10%}
`

func TestRead(t *testing.T) {
	parts, problems := read(t, several, "")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []Part{
		{Label: "BIOS", Number: 6, Size: Size{Bytes: 1 << 20}, Type: "bios"},
		{Label: "EFI", Number: 2, Size: Size{Bytes: 512 << 20}, Type: "esp", Filesystem: "vfat", Mount: "/boot/efi", Options: "umask=0077,nofail"},
		{Label: "SWAP", Number: 3, Size: Size{Bytes: 4e9}, Type: "swap", Filesystem: "swap"},
		{Label: "ROOT", Number: 4, Size: Size{Percent: 3330}, Type: "linux", Mount: "/", Mkfs: "-m 0"},
		{Label: "LOG", Disk: "disk1", Number: 1, Type: "linux", Filesystem: "xfs", Mount: "/var/log"},
		{Label: "VAR", Number: 5, Type: "linux", Filesystem: "ext4", Mount: "/var"},
		{Label: "RAW", Disk: "disk1", Number: 2, Size: Size{Percent: 1000}, Type: "linux"},
	}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	var order []string
	for _, p := range Mounts(parts) {
		order = append(order, p.Mount)
	}
	if got := strings.Join(order, " "); got != "/var /var/log /boot/efi" && got != "/var /boot/efi /var/log" {
		t.Errorf("mounted in the order %s", got)
	}
	if diff := cmp.Diff([]string{"", "disk1"}, Disks(parts)); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
	// What a registry stores is what was read.
	stored, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	var back []Part
	if err := json.Unmarshal(stored, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parts, back); diff != "" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	root := "- {label: ROOT, size: 1GB, mount: /}\n"
	for _, tt := range []struct{ name, text, root, want string }{
		{"nothing", "[]", "", "There is no partition"},
		{"two rests", root + "- {label: A, size: rest}\n- {label: B, size: rest}", "", "2/size: Only one partition of a disk"},
		{"two rests of two disks", root + "- {label: A, size: rest}\n- {label: B, disk: disk1, size: rest}", "", ""},
		{"a mount point twice", root + "- {label: A, size: 1GB, filesystem: xfs, mount: /a}\n- {label: B, size: 1GB, filesystem: xfs, mount: /a}", "", "2/mount: The mount point /a is given twice"},
		{"two roots", root + "- {label: A, size: 1GB, mount: /}", "", "1/mount: The mount point / is given twice"},
		{"no root", "- {label: A, size: 1GB}", "", "No partition is mounted on /"},
		{"no deployed partition", "- {label: A, size: 1GB}", "DEPLOY", "No partition has the label 'DEPLOY'"},
		{"another root", "- {label: DEPLOY, size: 1GB}\n- {label: A, size: 1GB, mount: /}", "DEPLOY", "1/mount: The partition 'DEPLOY', which is deployed on, is mounted on /"},
		{"deployed elsewhere", "- {label: DEPLOY, size: 1GB, mount: /srv}", "DEPLOY", "0/mount: The partition 'DEPLOY' is deployed on"},
		{"root without a label", "- {label: '', size: 1GB, mount: /}", "", "needs a label"},
		{"shares", "- {label: R, size: 60%, mount: /}\n- {label: A, size: 41%}", "", "1/size: The shares of the disk add up to more"},
		{"shares and more", "- {label: R, size: 60%, mount: /}\n- {label: A, size: 40%}\n- {label: B, size: rest}", "", "no room"},
		{"all shares", "- {label: R, size: 60%, mount: /}\n- {label: A, size: 40%}", "", ""},
		{"no file system", root + "- {label: A, size: 1GB, mount: /a}", "", "1/mount: A partition without a file system"},
		{"swap mounted", root + "- {label: A, size: 1GB, type: swap, mount: /a}", "", "1/mount: A partition without a file system"},
		{"strange file system", root + "- {label: A, size: 1GB, filesystem: zfs}", "", "1/filesystem: Invalid value 'zfs'"},
		{"esp with ext4", root + "- {label: A, size: 1GB, type: esp, filesystem: ext4}", "", "1/filesystem: Firmware reads only vfat"},
		{"the root's file system", "- {label: A, size: 1GB, mount: /, filesystem: ext4}", "", "0/filesystem: The file system that is deployed on is the environment's"},
		{"deployed on swap", "- {label: A, size: 1GB, mount: /, type: swap}", "", "0/type: Nothing can be deployed"},
		{"a root elsewhere", "- {label: A, disk: disk1, size: 1GB, mount: /}", "", "0/disk: The partition that is mounted on /"},
		{"relative", root + "- {label: A, size: 1GB, filesystem: xfs, mount: a}", "", "1/mount: Invalid value 'a'"},
		{"dots", root + "- {label: A, size: 1GB, filesystem: xfs, mount: /a/../b}", "", "1/mount: Invalid value"},
		{"proc", root + "- {label: A, size: 1GB, filesystem: xfs, mount: /proc/x}", "", "1/mount: Nothing of a disk"},
		{"options alone", root + "- {label: A, size: 1GB, options: ro}", "", "1/options: There is nothing to mount"},
		{"line break", root + "- {label: A, size: 1GB, filesystem: xfs, mount: /a, options: \"ro\\n/dev/x\"}", "", "1/options: Invalid value"},
		{"mkfs alone", root + "- {label: A, size: 1GB, mkfs: -m 0}", "", "1/mkfs: There is no file system"},
		{"a disk that is none", root + "- {label: A, disk: sdb, size: 1GB}", "", "1/disk: Invalid value 'sdb'"},
		{"numbers", root + "- {label: A, number: 1, size: 1GB}", "", "1/number: The number 1 is given twice"},
		{"numbers of two disks", root + "- {label: A, disk: disk1, number: 1, size: 1GB}", "", ""},
		{"unknown field", root + "- {label: A, size: 1GB, colour: red}", "", "1/colour"},
		{"sizes", root + "- {label: A, size: 0GB}\n- {label: B, size: 101%}\n- {label: C, size: 0.001%}\n- {label: D, size: 5}", "", "4/size: Invalid value '5'"},
	} {
		_, problems := read(t, tt.text, tt.root)
		if got := strings.Join(problems, "\n"); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(several, "")
	f.Add(several, "ROOT")
	f.Add("- {label: A, size: 99999999999999999999TB}", "A")
	f.Fuzz(func(t *testing.T, text, root string) {
		doc, err := tree.Parse([]byte(text))
		if err != nil {
			return
		}
		parts := Read(doc.Root(), root)
		if len(doc.Problems()) > 0 || len(parts) == 0 {
			return
		}
		if _, ok := RootOf(parts); !ok {
			t.Errorf("nothing is mounted on / in what was found good: %+v", parts)
		}
		for _, p := range parts {
			if back, err := ParseSize(p.Size.String()); err != nil || back != p.Size {
				t.Errorf("size %v becomes %v, %v", p.Size, back, err)
			}
		}
	})
}
