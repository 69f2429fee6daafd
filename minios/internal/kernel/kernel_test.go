package kernel

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseModinfo(t *testing.T) {
	got := parseModinfo([]byte("license=GPL\x00depends=virtio,net-failover\x00softdep=pre: crypto-crc32c post: a-b\x00alias=crypto-x\x00name=x\x00"))
	want := modinfo{depends: []string{"virtio", "net_failover"}, softdeps: []string{"crypto_crc32c", "a_b"}, aliases: []string{"crypto_x"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(modinfo{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := parseModinfo([]byte("depends=\x00")).depends; got != nil {
		t.Errorf("no dependencies = %v", got)
	}
}

func TestWish(t *testing.T) {
	k := &Kernel{Release: "r", modules: map[string]string{
		"virtio_net": "kernel/drivers/net/virtio_net.ko", "e1000": "kernel/drivers/net/e1000.ko", "xfs": "kernel/fs/xfs/xfs.ko",
	}, builtin: map[string]bool{"ext4": true}}
	for _, test := range []struct {
		name   string
		wishes []string
		want   map[string]bool // nil: an error
	}{
		{"by name", []string{"virtio-net"}, map[string]bool{"virtio_net": true}},
		{"built in", []string{"ext4"}, map[string]bool{}},
		{"pattern", []string{"drivers/net/**"}, map[string]bool{"virtio_net": true, "e1000": true}},
		{"but one", []string{"drivers/net/**", "!drivers/net/e1*.ko"}, map[string]bool{"virtio_net": true}},
		{"unknown name", []string{"nothing"}, nil},
		{"unknown pattern", []string{"fs/nothing/**"}, nil},
	} {
		got := map[string]bool{}
		var err error
		for _, wish := range test.wishes {
			if e := k.wish(wish, got); e != nil {
				err = e
			}
		}
		if test.want == nil {
			if err == nil {
				t.Errorf("%s: no error", test.name)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", test.name, err, diff)
		}
	}
}

func FuzzParseModinfo(f *testing.F) {
	f.Add([]byte("depends=a,b\x00softdep=pre: c\x00"))
	f.Fuzz(func(t *testing.T, info []byte) {
		for _, name := range parseModinfo(info).depends {
			if name == "" {
				t.Errorf("empty dependency in %q", info)
			}
		}
	})
}
