package cluster

import "testing"

func TestForNode(t *testing.T) {
	got, err := ForNode("ssh HOSTNAME_FQDN-bmc; echo HOSTNAME_SHORT", "node-1.lab")
	if want := "ssh node-1.lab-bmc; echo node-1"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, name := range []string{"", "-x", "a b", "a;b", "$(x)", "a/b", "a\nb"} {
		if got, err := ForNode("ping HOSTNAME_FQDN", name); err == nil {
			t.Errorf("%q gives the line %q", name, got)
		}
	}
}
