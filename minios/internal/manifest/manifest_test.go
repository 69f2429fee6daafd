package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "m.yaml")
}

func TestLoadMerges(t *testing.T) {
	got, err := Load(write(t, map[string]string{
		"base.yaml": "suite: bookworm\nagent: /a\nepoch: 7\npackages: {bash: [/bin/bash]}\nexclude: [/x]\ndirectories: {/tmp: \"1777\"}\n",
		"m.yaml":    "include: [base.yaml]\nname: m\nkernel: linux\npackages: {bash: [/bin/rbash], tar: [/bin/tar]}\nexclude: [/y]\nfiles: {/f: {mode: \"0600\", content: z}}\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		Name: "m", Suite: "bookworm", Epoch: 7, Kernel: "linux", Agent: "/a",
		Packages:    map[string][]string{"bash": {"/bin/bash", "/bin/rbash"}, "tar": {"/bin/tar"}},
		Exclude:     []string{"/x", "/y"},
		Directories: map[string]Mode{"/tmp": 0o1777}, Links: map[string]string{},
		Files: map[string]File{"/f": {Mode: 0o600, Content: "z"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bash", "linux", "tar"}, got.PackageNames()); diff != "" {
		t.Errorf("package names (-want +got):\n%s", diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	const good = "name: m\nsuite: s\nkernel: k\nagent: /a\npackages: {p: [/x]}\n"
	for name, test := range map[string]struct{ text, want string }{
		"a member that is none":   {good + "kernels: x\n", "kernels"},
		"a mode that is none":     {good + "directories: {/d: \"0899\"}\n", "octal"},
		"no kernel":               {strings.Replace(good, "kernel: k\n", "", 1), "kernel is missing"},
		"no packages":             {strings.Replace(good, "packages: {p: [/x]}\n", "", 1), "no packages"},
		"a package without files": {strings.Replace(good, "[/x]", "[]", 1), "package p"},
		"including itself":        {"include: [m.yaml]\n" + good, "includes itself"},
		"including nothing":       {"include: [other.yaml]\n" + good, "other.yaml"},
	} {
		if _, err := Load(write(t, map[string]string{"m.yaml": test.text})); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Load = %v, want %q in it", name, err, test.want)
		}
	}
}

// The manifests that are shipped can be read.
func TestShipped(t *testing.T) {
	for _, name := range []string{"lab", "standard"} {
		m, err := Load("../../manifest/" + name + ".yaml")
		if err != nil {
			t.Error(err)
		} else if m.Name != name {
			t.Errorf("manifest %s is called %s", name, m.Name)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, path string
		want          bool
	}{
		{"/bin/*", "/bin/a", true},
		{"/bin/*", "/bin/a/b", false},
		{"/lib/**", "/lib/a/b", true},
		{"/lib/**/x.ko", "/lib/a/b/x.ko", true},
		{"/a.b", "/axb", false},
		{"/bin/[", "/bin/[", true},
		{"/a", "/a/b", false},
	} {
		p, err := Compile(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(test.path); got != test.want {
			t.Errorf("%s matches %s: %v, want %v", test.pattern, test.path, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: m\ndirectories: {/tmp: \"1777\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		for path, mode := range m.Directories {
			if mode > 0o7777 {
				t.Errorf("%s has mode %o", path, mode)
			}
		}
	})
}
