package rehearse

import "testing"

func TestReadScript(t *testing.T) {
	for _, c := range []struct {
		script      string
		mini, local bool
		token       string
	}{
		{"#!ipxe\n:again\nkernel http://h/files/v initrd=initrd kadeploy.coordinator=h:1 kadeploy.node=n kadeploy.token=ab kadeploy.fingerprint=cd || goto failed\nboot\n", true, false, "ab"},
		{"#!ipxe\nkernel http://h/files/v quiet || goto failed\n", false, false, ""},
		{"#!ipxe\necho x\niseq ${platform} efi && exit 1 ||\nsanboot --drive 0x80\nexit\n", false, true, ""},
		{"#!ipxe\necho cannot boot yet\nsleep 5\nchain --replace http://h/boot.ipxe ||\nexit\n", false, false, ""},
		{"", false, false, ""},
	} {
		args, mini, local := readScript(c.script)
		if mini != c.mini || local != c.local || args.token != c.token {
			t.Errorf("readScript(%q) = %+v, %v, %v; want token %q, %v, %v", c.script, args, mini, local, c.token, c.mini, c.local)
		}
	}
}

func FuzzReadScript(f *testing.F) {
	f.Add("#!ipxe\nkernel http://h/v kadeploy.coordinator=h:1 kadeploy.token=ab\n")
	f.Add("sanboot")
	f.Fuzz(func(t *testing.T, script string) {
		if args, mini, local := readScript(script); mini && (local || args.coordinator == "" || args.token == "") {
			t.Errorf("readScript(%q) = %+v, %v, %v", script, args, mini, local)
		}
	})
}
