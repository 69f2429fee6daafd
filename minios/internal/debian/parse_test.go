package debian

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURIs(t *testing.T) {
	got, err := parseURIs([]byte("Reading...\n'http://mirror/x.deb' tar_1.34%2bdfsg-1_amd64.deb 836288 SHA256:ab\n" +
		"'http://mirror/y.deb' bash_1%3a5.2_amd64.deb 7 SHA256:cd\n"))
	want := []Package{
		{Name: "bash", Version: "1:5.2", File: "bash_1%3a5.2_amd64.deb", Size: 7, SHA256: "cd"},
		{Name: "tar", Version: "1.34+dfsg-1", File: "tar_1.34%2bdfsg-1_amd64.deb", Size: 836288, SHA256: "ab"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, out := range map[string]string{
		"no package":     "",
		"weak digest":    "'u' tar_1_amd64.deb 1 MD5Sum:ab\n",
		"no size":        "'u' tar_1_amd64.deb x SHA256:ab\n",
		"another layout": "'u' tar_1_amd64.deb 1\n",
		"a path":         "'u' ../tar_1_amd64.deb 1 SHA256:ab\n",
	} {
		if _, err := parseURIs([]byte(out)); err == nil {
			t.Errorf("%s: parseURIs accepted %q", name, out)
		}
	}
}

func FuzzParseURIs(f *testing.F) {
	f.Add([]byte("'u' tar_1%3a2_amd64.deb 5 SHA256:ab\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		packages, err := parseURIs(out)
		if err == nil && len(packages) == 0 {
			t.Error("no package and no error")
		}
	})
}

func TestSources(t *testing.T) {
	const stanza = "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
	if got := keepStanzas(stanza+"\nTypes: deb\nURIs: http://other\nSuites: nodistro\n", "bookworm"); got != stanza[:len(stanza)-1]+"\n" {
		t.Errorf("keepStanzas = %q", got)
	}
	const line = "deb [arch=amd64 signed-by=/k] http://mirror/debian bookworm-security main\n"
	if got := keepLines("# deb http://m bookworm main\n"+line+"deb http://other cloud-sdk-bookworm main\ndeb-src http://m bookworm main\n", "bookworm"); got != line {
		t.Errorf("keepLines = %q, want %q", got, line)
	}
}

func TestMergedPath(t *testing.T) {
	for path, want := range map[string]string{
		"./bin/sh": "usr/bin/sh", "/lib/x/y": "usr/lib/x/y", "usr/bin/a": "usr/bin/a", "/etc/x": "etc/x",
		"/lib64/ld.so": "usr/lib64/ld.so", "/library/x": "library/x", "/../bin/x": "usr/bin/x",
	} {
		if got := MergedPath(path); got != want {
			t.Errorf("MergedPath(%q) = %q, want %q", path, got, want)
		}
	}
}
