package disk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuiltinSizes(t *testing.T) {
	for _, tt := range []struct {
		disk                         uint64
		swap, prod, deploy, efi, tmp uint64 // MiB
	}{
		{2 * gb, 95, 572, 915, 64, 258},
		{4 << 30, 204, 1228, 1966, 81, 614},
		{8 << 30, 409, 2457, 3932, 163, 1228},
		{40 * gb, 1907, 11444, 18310, 762, 5720},
		{71 * gb, 3385, 20313, 32424, 953, 10632},
		{72 * gb, 3814, 29563, 32424, 953, 1907},
		{480 * gb, 3814, 29563, 32424, 953, 391006},
		{16000 * gb, 3814, 29563, 32424, 953, 15192032},
	} {
		specs, err := Builtin(tt.disk)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := Lay(specs, tt.disk)
		if err != nil {
			t.Errorf("Lay on %d bytes: %v", tt.disk, err)
			continue
		}
		var got []string
		for _, p := range parts {
			got = append(got, fmt.Sprintf("%d %s %d", p.Number, p.Label, p.Size>>20))
		}
		want := []string{"6 BIOS 1", fmt.Sprintf("1 SWAP %d", tt.swap), fmt.Sprintf("2 PROD %d", tt.prod),
			fmt.Sprintf("3 DEPLOY %d", tt.deploy), fmt.Sprintf("4 EFI %d", tt.efi), fmt.Sprintf("5 TMP %d", tt.tmp)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("scheme of %d bytes (-want +got):\n%s", tt.disk, diff)
		}
	}
	if _, err := Builtin(smallest - 1); err == nil {
		t.Error("a disk below the smallest size was not refused")
	}
}

// Whatever the disk's size: in bounds, in order, aligned, no overlap, no role without room.
func TestBuiltinOnEverySize(t *testing.T) {
	for size := uint64(smallest); size < 400*gb; size += 333333333 {
		specs, err := Builtin(size)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := Lay(specs, size)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		at := uint64(mib)
		for _, p := range parts {
			if p.Start != at || p.Start%mib != 0 || p.Size%mib != 0 || p.Size < mib {
				t.Fatalf("%d bytes: %+v does not follow on %d", size, p, at)
			}
			at += p.Size
		}
		if at > size-mib || at < size-3*mib {
			t.Errorf("%d bytes: the last partition ends at %d", size, at)
		}
	}
}

func TestLay(t *testing.T) {
	for _, tt := range []struct {
		name    string
		specs   []Spec
		size    uint64
		want    string
		errText string
	}{
		{"numbers are given", []Spec{{Size: 5 * mib}, {Number: 1, Size: mib}, {Size: mib}}, 100 * mib, "2@1+5 1@6+1 3@7+1", ""},
		{"rest in the middle", []Spec{{Size: mib}, {}, {Size: 9 * mib}}, 100 * mib, "1@1+1 2@2+88 3@90+9", ""},
		{"odd sizes", []Spec{{Size: 1}, {Size: mib + 1}}, 100*mib + 12345, "1@1+1 2@2+2", ""},
		{"two rests", []Spec{{}, {}}, 100 * mib, "", "more than one"},
		{"too big", []Spec{{Size: 99 * mib}}, 100 * mib, "", "do not fit"},
		{"nothing left", []Spec{{Size: 98 * mib}, {}}, 100 * mib, "", "do not fit"},
		{"no disk at all", []Spec{{Size: mib}}, 0, "", "do not fit"},
		{"number twice", []Spec{{Number: 2, Size: mib}, {Number: 2, Size: mib}}, 100 * mib, "", "given twice"},
		{"number too big", []Spec{{Number: 129, Size: mib}}, 100 * mib, "", "not in 1 to 128"},
		{"absurd size", []Spec{{Size: 1<<64 - 1}}, 100 * mib, "", "cannot be"},
		{"absurd sum", []Spec{{Size: 1 << 63}, {Size: 1 << 63}}, 100 * mib, "", "cannot be"},
		{"unknown type", []Spec{{Size: mib, Type: "ntfs"}}, 100 * mib, "", `partition type "ntfs"`},
		{"broken GUID", []Spec{{Size: mib, Type: "0FC63DAF-8483-4772-8E79-3D69D8477DEX"}}, 100 * mib, "", "partition type"},
		{"label that is none", []Spec{{Size: mib, Label: "A\", type=x"}}, 100 * mib, "", "partition label"},
		{"label too long", []Spec{{Size: mib, Label: strings.Repeat("L", 21)}}, 100 * mib, "", "partition label"},
		{"empty", nil, 100 * mib, "", "without partitions"},
	} {
		parts, err := Lay(tt.specs, tt.size)
		if tt.errText != "" {
			if err == nil || !strings.Contains(err.Error(), tt.errText) {
				t.Errorf("%s: Lay = %v, %v, want error %q", tt.name, parts, err, tt.errText)
			}
			continue
		}
		var got []string
		for _, p := range parts {
			got = append(got, fmt.Sprintf("%d@%d+%d", p.Number, p.Start>>20, p.Size>>20))
		}
		if s := strings.Join(got, " "); err != nil || s != tt.want {
			t.Errorf("%s: Lay = %s, %v, want %s", tt.name, s, err, tt.want)
		}
	}
}

func TestLayTypes(t *testing.T) {
	for name, want := range map[string]string{
		"": TypeLinux, "linux": TypeLinux, "swap": TypeSwap, "esp": TypeESP, "bios": TypeBIOS,
		"e6d6d379-f507-44c2-a23c-238f2a3df928": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
	} {
		parts, err := Lay([]Spec{{Size: mib, Type: name}}, 100*mib)
		if err != nil || parts[0].Type != want {
			t.Errorf("type %q: %+v, %v, want %s", name, parts, err, want)
		}
	}
}
