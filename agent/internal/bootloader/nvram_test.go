package bootloader

import (
	"slices"
	"testing"
)

const bootListText = `BootCurrent: 0003
Timeout: 0 seconds
BootOrder: 0003,0000,0001
Boot0000* UiApp	FvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)
Boot0001* UEFI Misc Device	PciRoot(0x0)/Pci(0x1,0x0)N.....YM....R,Y.
Boot0003* UEFI PXEv4 (MAC:525400420001)	PciRoot(0x0)/Pci(0x2,0x0)/MAC(525400420001,1)
Boot0007* kadeploy	HD(6,GPT,0a,0x800,0x1000)/File(\EFI\kadeploy\grubx64.efi)
Boot000A  kadeploy
MirroredPercentageAbove4G: 0.00
`

func TestBootList(t *testing.T) {
	l := parseBootList(bootListText)
	if want := []string{"0003", "0000", "0001"}; !slices.Equal(l.order, want) {
		t.Errorf("order %v, want %v", l.order, want)
	}
	if got := l.named("kadeploy"); !slices.Equal(got, []string{"0007", "000A"}) {
		t.Errorf("kadeploy is %v", got)
	}
	if got := l.named("UEFI Misc Device"); !slices.Equal(got, []string{"0001"}) {
		t.Errorf("the disk is %v", got)
	}
}

func FuzzBootList(f *testing.F) {
	f.Add(bootListText)
	f.Add("BootOrder: ,\nBoot00")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range parseBootList(text).entries {
			if len(e[0]) != 4 {
				t.Errorf("number %q", e[0])
			}
		}
	})
}
