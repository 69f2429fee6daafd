package boot

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/profile"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

// golden compares got with a file under testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func testScripter() *scripter {
	return &scripter{
		base: "http://10.0.0.1:8069", params: " console=ttyS0,115200n8\n quiet",
		coordinator: "10.0.0.1:25301", fingerprint: strings.Repeat("ab", 32),
	}
}

func TestScripts(t *testing.T) {
	plain, overlaid := testScripter(), testScripter()
	overlaid.overlay, overlaid.loader = overlaid.base+pathOverlay, overlaid.url(localLoader)
	mini := profile.Profile{Kind: profile.MiniOS, Kernel: "vmlinuz-minios", Initrd: "/initrd-minios", Params: "ETH_DEV=eth0  NTP=ntp.lab"}
	elsewhere := profile.Profile{Kind: profile.MiniOS, Kernel: "http://mirror.lab/k", Initrd: "tftp://mirror.lab/i"}
	for name, got := range map[string][]byte{
		"minios.ipxe":         plain.miniOS(mini, "node-1.lab", "00ff"),
		"minios-overlay.ipxe": overlaid.miniOS(mini, "node-1.lab", "00ff"),
		"minios-urls.ipxe":    plain.miniOS(elsewhere, "node-1.lab", "00ff"),
		"local.ipxe":          overlaid.local("node-1.lab"),
		"local-without.ipxe":  plain.local("node-1.lab"),
		"problem.ipxe":        plain.problem("node-1.lab", "no workflow\nwaits || for `it` ${net0/mac} && # ünicode"),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, got) })
	}
}

func TestCustomScript(t *testing.T) {
	const prefix = "http://10.0.0.1:8069/userfiles/"
	for _, tc := range []struct {
		name string
		p    profile.Profile
		want string
	}{
		{"both patterns", profile.Profile{Script: "#!ipxe\nkernel FILES_PREFIX--k id=NODE_SINGULARITY x=NODE_SINGULARITY\n", Singularity: "7", User: "bob"},
			"#!ipxe\nkernel " + prefix + "pxe-bob--k id=7 x=7\n"},
		{"no value for this node", profile.Profile{Script: "id=NODE_SINGULARITY", User: "bob"}, "id=NODE_SINGULARITY"},
		{"a value is not replaced again", profile.Profile{Script: "NODE_SINGULARITY", Singularity: "FILES_PREFIX", User: "bob"}, "FILES_PREFIX"},
		{"verbatim", profile.Profile{Script: "\ttext\r\n\n"}, "\ttext\r\n\n"},
	} {
		if got := customScript(tc.p, prefix); got != tc.want {
			t.Errorf("%s: customScript = %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestConsoleTextIsOneHarmlessLine(t *testing.T) {
	for _, s := range []string{"", "a\nb", "x || reboot", "${net0/mac}", "é\x00\x1b[2J", strings.Repeat("long ", 500), `"quote' \`} {
		got := consoleText(s)
		if len(got) > 300 || strings.ContainsAny(got, "\n\r$|&#\\\"'\x1b\x00") {
			t.Errorf("consoleText(%q) = %q", s, got)
		}
	}
}
