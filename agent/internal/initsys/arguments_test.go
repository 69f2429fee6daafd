package initsys

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseArguments(t *testing.T) {
	defaults := Arguments{LinkTimeout: time.Minute, DiskTimeout: 5 * time.Second}
	with := func(change func(*Arguments)) Arguments { a := defaults; change(&a); return a }
	for _, test := range []struct {
		name, line string
		want       Arguments
	}{
		{"nothing", "", defaults},
		{"of others", "console=ttyS0 quiet kadeploy.other=1 =x\n", defaults},
		{"session", "kadeploy.node=n-1.lab kadeploy.coordinator=10.0.0.1:25301 kadeploy.token=00ff kadeploy.fingerprint=ab\n", with(func(a *Arguments) {
			a.Node, a.Coordinator, a.Token, a.Fingerprint = "n-1.lab", "10.0.0.1:25301", "00ff", "ab"
		})},
		{"network", "ETH_DEV=eth2 LINK_UP_TOUT=90 BOOTIF=01-AA-bb-cc-dd-ee-ff NTP=ntp.lab", with(func(a *Arguments) {
			a.Interface, a.LinkTimeout, a.BootMAC, a.NTP = "eth2", 90*time.Second, "aa:bb:cc:dd:ee:ff", "ntp.lab"
		})},
		{"plain hardware address", "BOOTIF=aa:bb:cc:dd:ee:ff", with(func(a *Arguments) { a.BootMAC = "aa:bb:cc:dd:ee:ff" })},
		{"disk", "DISK_DEV=sda DISK_TOUT=30", with(func(a *Arguments) { a.Disk, a.DiskTimeout = "sda", 30*time.Second })},
		{"underscores", "DEBUG=ip_link_show", with(func(a *Arguments) { a.Debug = "ip link show" })},
		{"quotes", `DEBUG="a b" ETH_DEV=eth0`, with(func(a *Arguments) { a.Debug, a.Interface = "a b", "eth0" })},
		{"not numbers", "LINK_UP_TOUT=-1 DISK_TOUT=99999999999 BOOTIF=nonsense", defaults},
		{"the last wins", "ETH_DEV=eth0 ETH_DEV=eth1", with(func(a *Arguments) { a.Interface = "eth1" })},
	} {
		if diff := cmp.Diff(test.want, ParseArguments(test.line)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func FuzzParseArguments(f *testing.F) {
	f.Add(`ETH_DEV=eth0 DEBUG="a_b" LINK_UP_TOUT=3 BOOTIF=01-aa-bb-cc-dd-ee-ff`)
	f.Fuzz(func(t *testing.T, line string) {
		if a := ParseArguments(line); a.LinkTimeout < 0 || a.DiskTimeout < 0 {
			t.Errorf("ParseArguments(%q) = %+v: negative time", line, a)
		}
	})
}
