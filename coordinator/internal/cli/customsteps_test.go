package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCustomSteps(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	steps, uris, err := ParseCustomSteps([]byte(`---
SetDeploymentEnvUntrusted:
  create_partition_table:
    override: true
    substitute:
    - action: send
      file: map.parted 
      destination: $KADEPLOY_TMP_DIR
      name: send_partition_map
    - name: partitioning
      action: exec
      command: parted -a optimal /dev/sda --script $(cat $KADEPLOY_TMP_DIR/map.parted)
  format_deploy_part:
    post-ops:
    - {name: run, action: run, file: "http://web/format.sh", timeout: 30}
`))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(uris)
	if diff := cmp.Diff([]string{filepath.Join(dir, "map.parted"), "http://web/format.sh"}, uris); diff != "" {
		t.Error(diff)
	}
	data, err := json.Marshal(steps)
	if err != nil || !strings.Contains(string(data), `"file":"`+dir+`/map.parted"`) || !strings.Contains(string(data), `"override":true`) {
		t.Errorf("sent as %s, %v", data, err)
	}
	for text, want := range map[string]string{
		"":                     "names no macro-step",
		"- a":                  "",
		"a: b":                 "a: must be a map",
		"a: {b: c}":            "a/b: must be a map",
		"a: {b: {pre-ops: x}}": "a/b/pre-ops: must be a list",
		"a: {b: {substitute: [{action: exec}, x]}}": "a/b/substitute/1: must be a map",
		"a: {1: {pre-ops: []}}":                     "",
		"a: [":                                      "",
	} {
		if _, _, err := ParseCustomSteps([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCustomSteps(%q) = %v, want %q", text, err, want)
		}
	}
}

func TestParsePatterns(t *testing.T) {
	got, err := ParsePatterns("# of the lab\nnode-1.lab,root=/dev/sda1, quiet\n\nnode-[2-3].lab , x\n")
	want := map[string]string{"node-1.lab": "root=/dev/sda1, quiet", "node-2.lab": "x", "node-3.lab": "x"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"node-1", ",x", "node-[1,x", "a b,c"} {
		if got, err := ParsePatterns(bad); err == nil {
			t.Errorf("ParsePatterns(%q) = %v", bad, got)
		}
	}
}

func FuzzParseCustomSteps(f *testing.F) {
	f.Add([]byte("SetDeploymentEnv: {reboot: {pre-ops: [{action: exec, command: ls}]}}"))
	f.Add([]byte("a: &x {b: {substitute: [{file: *x}]}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		steps, _, err := ParseCustomSteps(data)
		if err == nil && len(steps) == 0 {
			t.Errorf("%q: nothing, and no error", data)
		}
	})
}

func FuzzParsePatterns(f *testing.F) {
	f.Add("node-[1-3].lab,x,y\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParsePatterns(text)
		for name := range all {
			if err != nil || name == "" {
				t.Errorf("%q: %v, %v", text, all, err)
			}
		}
	})
}
