package disk

import (
	"fmt"
	"slices"
	"strings"

	"kadeploy/agent/internal/fault"
)

// Sizes. The scheme counts in decimal units, as disks are sold; partitions
// start and end on whole MiB.
const (
	mib = 1 << 20
	gb  = 1000 * 1000 * 1000
)

// GPT partition types (UEFI specification 5.3.3, and the Discoverable
// Partitions Specification).
const (
	TypeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	TypeSwap  = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
	TypeESP   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	TypeBIOS  = "21686148-6449-6E6F-744E-656564454649"
)

// Spec is a partition that is wanted. Specs stand in the order in which the
// partitions lie on the disk, whatever their numbers are.
type Spec struct {
	Number int    // 0: the lowest that is free
	Label  string // role: DEPLOY, PROD, ...; empty: no name on disk
	Size   uint64 // bytes; 0: what is left (one partition only), unless there is a share
	Share  uint32 // of the disk, in hundredths of a percent, instead of a size; 0: none
	Type   string // linux (also if empty), swap, esp, bios, or a GPT type GUID
}

// Part is a partition with its place.
type Part struct {
	Number      int
	Label       string // role
	Start, Size uint64 // bytes
	Type        string // GPT type GUID
}

// role is a partition of the built-in scheme.
type role struct {
	number  int
	label   string
	kind    string
	full    uint64 // size on a disk that has room for all; 0: what is left
	percent uint64 // share of a smaller disk, at most full
	least   uint64
}

// roles is the scheme of the user's guide: SWAP 4 GB, PROD 31 GB, DEPLOY 34 GB,
// EFI 1 GB, TMP the rest. A BIOS boot partition comes first, so that one disk
// boots on either firmware.
var roles = [...]role{
	{6, "BIOS", TypeBIOS, mib, 0, mib},
	{1, "SWAP", TypeSwap, 4 * gb, 5, 64 * mib},
	{2, "PROD", TypeLinux, 31 * gb, 30, 0},
	{3, "DEPLOY", TypeLinux, 34 * gb, 48, 0},
	{4, "EFI", TypeESP, 1 * gb, 2, 64 * mib}, // FAT32 needs 33 MiB
	{5, "TMP", TypeLinux, 0, 0, 0},
}

// smallest is the smallest disk that the built-in scheme is made for.
const smallest = 2 * gb

// roomy is the size from which on the disk gets the full scheme.
const roomy = 72 * gb

// Builtin returns the built-in scheme for a disk of this size: the guide's
// sizes if they leave something for TMP, else shares of the disk.
func Builtin(diskSize uint64) ([]Spec, error) {
	if diskSize < smallest {
		return nil, fault.Preconditionf("disk of %d bytes is too small for the partition scheme: it needs %d", diskSize, int64(smallest))
	}
	var specs []Spec
	for _, r := range roles {
		size := r.full
		if diskSize < roomy && size != 0 {
			size = min(r.full, max(r.least, diskSize/100*r.percent))
		}
		specs = append(specs, Spec{Number: r.number, Label: r.label, Size: alignDown(size), Type: r.kind})
	}
	return specs, nil
}

// Lay gives each partition its place on a disk of this size.
func Lay(specs []Spec, diskSize uint64) ([]Part, error) {
	if len(specs) == 0 {
		return nil, fault.Invalidf("a layout without partitions")
	}
	// The first MiB holds the table, the last one its copy.
	first, end := uint64(mib), alignDown(diskSize-min(diskSize, mib))
	free := end - min(end, first)
	specs, err := shares(specs, free)
	if err != nil {
		return nil, err
	}
	used, rests := uint64(0), 0
	for i := range specs {
		if specs[i].Size == 0 {
			rests++
		}
		size := alignUp(specs[i].Size)
		if size < specs[i].Size || used+size < used {
			return nil, fault.Invalidf("partition %q of %d bytes cannot be", specs[i].Label, specs[i].Size)
		}
		used += size
	}
	if rests > 1 {
		return nil, fault.Invalidf("more than one partition has no size: which of them gets what is left?")
	}
	if used > free || rests == 1 && free-used < mib {
		return nil, fault.Preconditionf("partitions of %d bytes do not fit on a disk of %d bytes", used, diskSize)
	}
	numbers, err := numbered(specs)
	if err != nil {
		return nil, err
	}
	types := make([]string, len(specs))
	for i, s := range specs {
		if !isRole(s.Label) {
			return nil, fault.Invalidf("partition label %q: use letters, digits, - and _, %d at most", s.Label, maxRole)
		}
		if types[i], err = typeOf(s.Type); err != nil {
			return nil, err
		}
	}
	parts := make([]Part, len(specs))
	at := first
	for i, s := range specs {
		size := alignUp(s.Size)
		if s.Size == 0 {
			size = free - used
		}
		parts[i] = Part{Number: numbers[i], Label: s.Label, Start: at, Size: size, Type: types[i]}
		at += size
	}
	return parts, nil
}

// shares turns shares of a disk into sizes.
func shares(specs []Spec, free uint64) ([]Spec, error) {
	specs = slices.Clone(specs)
	for i, s := range specs {
		switch {
		case s.Share == 0:
			continue
		case s.Share > whole || s.Size != 0:
			return nil, fault.Invalidf("partition %q: a share of %d hundredths of a percent, and %d bytes", s.Label, s.Share, s.Size)
		}
		if specs[i].Size = alignDown(free / whole * uint64(s.Share)); specs[i].Size == 0 {
			return nil, fault.Preconditionf("partition %q of %g %% of the disk is less than 1 MiB", s.Label, float64(s.Share)/100)
		}
	}
	return specs, nil
}

// whole is a disk as a share.
const whole = 100 * 100

// typeNames are the types that a layout may name.
var typeNames = map[string]string{"": TypeLinux, "linux": TypeLinux, "swap": TypeSwap, "esp": TypeESP, "bios": TypeBIOS}

func typeOf(name string) (string, error) {
	if guid, ok := typeNames[name]; ok {
		return guid, nil
	}
	guid := strings.ToUpper(name)
	groups := strings.Split(guid, "-")
	ok := len(groups) == 5
	for i, digits := range [...]int{8, 4, 4, 4, 12} {
		ok = ok && len(groups[i]) == digits && strings.Trim(groups[i], "0123456789ABCDEF") == ""
	}
	if !ok {
		return "", fault.Invalidf("partition type %q: use linux, swap, esp, bios or a GUID", name)
	}
	return guid, nil
}

// maxRole leaves room for the rest of a GPT name, which has 36 characters.
const maxRole = 20

// isRole reports whether a role can be part of a name on disk, of a link that
// udev makes for it, and of sfdisk's input, unchanged in each.
func isRole(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) <= maxRole
}

// maxNumber is how many partitions a usual GPT has room for.
const maxNumber = 128

func numbered(specs []Spec) ([]int, error) {
	var numbers []int
	taken := map[int]bool{}
	for _, s := range specs {
		if s.Number < 0 || s.Number > maxNumber {
			return nil, fault.Invalidf("partition number %d is not in 1 to %d", s.Number, maxNumber)
		}
		if s.Number != 0 && taken[s.Number] {
			return nil, fault.Invalidf("partition number %d is given twice", s.Number)
		}
		taken[s.Number] = true
	}
	next := 1
	for _, s := range specs {
		n := s.Number
		if n == 0 {
			for taken[next] {
				next++
			}
			n = next
			taken[n] = true
		}
		numbers = append(numbers, n)
	}
	if m := slices.Max(numbers); m > maxNumber {
		return nil, fault.Invalidf("%d partitions are more than the %d that a GPT has room for", m, maxNumber)
	}
	return numbers, nil
}

// PartLabel is the name on disk of a role's partition.
func PartLabel(role, diskID string) string {
	if role == "" {
		return ""
	}
	return fmt.Sprintf("KDPL_%s_%s", role, diskID)
}

func alignDown(n uint64) uint64 { return n &^ (mib - 1) }
func alignUp(n uint64) uint64   { return (n + mib - 1) &^ (mib - 1) }
