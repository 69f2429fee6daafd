package mountinfo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const table = `22 28 0:20 / /proc rw,relatime shared:1 - proc proc rw
28 1 254:3 / / rw,relatime - ext4 /dev/vda3 rw
40 28 254:2 /sub /mnt/a\040b\134 rw - ext4 /dev/vda2 rw
41 28 0:40 / /mnt/dest rw shared:2 master:3 - tmpfs  rw
42 41 0:41 / /mnt/dest/x rw - tmpfs none rw
43 28 0:42 / /mnt/dest2 rw - tmpfs none rw
`

func TestParse(t *testing.T) {
	got, err := Parse(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{"0:20", "/", "/proc", "proc", "proc"},
		{"254:3", "/", "/", "ext4", "/dev/vda3"},
		{"254:2", "/sub", `/mnt/a b\`, "ext4", "/dev/vda2"},
		{"0:40", "/", "/mnt/dest", "tmpfs", "rw"},
		{"0:41", "/", "/mnt/dest/x", "tmpfs", "none"},
		{"0:42", "/", "/mnt/dest2", "tmpfs", "none"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	var points []string
	for _, m := range Below(got, "/mnt/dest") {
		points = append(points, m.Point)
	}
	if diff := cmp.Diff([]string{"/mnt/dest", "/mnt/dest/x"}, points); diff != "" {
		t.Errorf("Below /mnt/dest (-want +got):\n%s", diff)
	}
}

func TestRead(t *testing.T) {
	mounts, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(Below(mounts, "/proc")); n == 0 {
		t.Error("nothing is mounted on /proc")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(table)
	f.Fuzz(func(t *testing.T, s string) {
		mounts, err := Parse(strings.NewReader(s))
		if err == nil && len(mounts) > strings.Count(s, "\n")+1 {
			t.Errorf("%d mounts of %q", len(mounts), s)
		}
	})
}
