package customops

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var known = Known{
	Macro: func(n string) bool {
		return n == "SetDeploymentEnv" || n == "SetDeploymentEnvUntrusted" || n == "BroadcastEnvKascade"
	},
	Micro: func(n string) bool { return n == "mount_deploy_part" || n == "manage_user_post_install" },
}

func parseYAML(t *testing.T, text string) (Set, error) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return Parse(v, known)
}

func TestParse(t *testing.T) {
	got, err := parseYAML(t, `
SetDeploymentEnv:
  mount_deploy_part:
    override: true
    pre-ops:
    - {action: exec, name: hello, command: "echo $(cat $KADEPLOY_TMP_DIR/map) >> /x", timeout: 10, retries: 2}
    - {action: send, file: /home/alice/f.tgz, destination: $KADEPLOY_TMP_DIR, scattering: tree}
BroadcastEnvKascade:
  manage_user_post_install:
    substitute: [{action: run, name: it, file: "http://h/dir/script.sh?x=1", params: -a b, timeout: "5"}]
    post-ops:
`)
	want := Set{
		"SetDeploymentEnv": {"mount_deploy_part": {Override: true, Pre: []Op{
			{Name: "hello", Action: Exec, Command: "echo $(cat $KADEPLOY_TMP_DIR/map) >> /x", Timeout: 10 * time.Second, Retries: 2},
			{Name: "send2", Action: Send, File: "/home/alice/f.tgz", Destination: "$KADEPLOY_TMP_DIR", Scattering: "tree"},
		}}},
		"BroadcastEnvKascade": {"manage_user_post_install": {Substitute: []Op{
			{Name: "it", Action: Run, File: "http://h/dir/script.sh?x=1", Params: "-a b", Timeout: 5 * time.Second},
		}}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestMistakesAreNamedWithTheirPath(t *testing.T) {
	at := func(op string) string { return "SetDeploymentEnv: {mount_deploy_part: {post-ops: [" + op + "]}}" }
	const path = "SetDeploymentEnv/mount_deploy_part/post-ops/0"
	for text, want := range map[string]string{
		"a":                            "custom_operations: ",
		"[]":                           "custom_operations: ",
		"Nothing: {}":                  "Nothing: there is no such macro-step",
		"SetDeploymentEnv: 1":          "SetDeploymentEnv: it must be a map",
		"SetDeploymentEnv: {frob: {}}": "SetDeploymentEnv/frob: there is no such micro-step",
		"SetDeploymentEnv: {mount_deploy_part: []}":            "SetDeploymentEnv/mount_deploy_part: it must be a map",
		"SetDeploymentEnv: {mount_deploy_part: {pre_ops: []}}": "SetDeploymentEnv/mount_deploy_part/pre_ops: it is none of",
		"SetDeploymentEnv: {mount_deploy_part: {override: 3}}": "SetDeploymentEnv/mount_deploy_part/override: it must be true",
		"SetDeploymentEnv: {mount_deploy_part: {pre-ops: {}}}": "SetDeploymentEnv/mount_deploy_part/pre-ops: it must be a list",
		at("3"):                                                     path + ": it must be a map",
		at("{name: a}"):                                             path + "/action: \"\" is none of",
		at("{name: a, action: frob}"):                               path + "/action: ",
		at("{action: exec}"):                                        path + "/command: it is mandatory",
		at("{action: exec, command: ' '}"):                          path + "/command: ",
		at("{action: exec, command: [a]}"):                          path + "/command: it must be a string",
		at("{action: run}"):                                         path + "/file: it is mandatory",
		at("{action: run, file: 'http://host'}"):                    path + "/file: ",
		at("{action: run, file: /dir/}"):                            path + "/file: ",
		at("{action: send, file: /f}"):                              path + "/destination: it is mandatory",
		at("{action: exec, command: a, timeout: x}"):                path + "/timeout: it must be a whole number",
		at("{action: exec, command: a, timeout: 1.5}"):              path + "/timeout: ",
		at("{action: exec, command: a, timeout: -1}"):               path + "/timeout: ",
		at("{action: exec, command: a, retries: 1e9}"):              path + "/retries: ",
		at("{action: exec, command: a, scattering: up}"):            path + "/scattering: ",
		at(`{action: exec, command: a, name: "a\nb"}`):              path + "/name: it must be one line",
		at(`{action: exec, command: "a\0b"}`):                       path + "/command: it has a NUL",
		at(strings.Repeat("{action: exec, command: a},", maxOps+1)): "custom_operations: there are 257",
	} {
		_, err := parseYAML(t, text)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.90s: %v, want %s", text, err, want)
		}
	}
}

func TestAt(t *testing.T) {
	op := func(name string) []Op { return []Op{{Name: name}} }
	set := Set{
		"MiniOS":     {"a": {Pre: op("all")}},
		"SetEnvFast": {"a": {Pre: op("fast"), Post: op("after")}, "b": {Substitute: op("instead")}},
	}
	canonical := func(s string) string { return strings.Replace(s, "MiniOS", "SetEnv", 1) }
	for _, c := range []struct {
		instance, micro string
		want            Steps
	}{
		{"SetEnvFast", "a", Steps{Pre: append(op("all"), op("fast")...), Post: op("after")}},
		{"MiniOSFast", "b", Steps{Substitute: op("instead")}},
		{"SetEnvSlow", "a", Steps{Pre: op("all")}},
		{"BroadcastEnv", "a", Steps{}},
	} {
		if diff := cmp.Diff(c.want, set.At(c.instance, c.micro, Steps{}, canonical)); diff != "" {
			t.Errorf("%s %s: %s", c.instance, c.micro, diff)
		}
	}
	site := Steps{Pre: op("site"), Post: op("site")}
	for _, override := range []bool{false, true} {
		set := Set{"Set": {"a": {Override: override, Pre: op("user")}}, "SetEnv": {"a": {Post: op("more")}}}
		want := Steps{Pre: append(op("site"), op("user")...), Post: append(op("site"), op("more")...)}
		if override {
			want.Pre = op("user")
		}
		if diff := cmp.Diff(want, set.At("SetEnv", "a", site, canonical)); diff != "" {
			t.Errorf("override %v: %s", override, diff)
		}
	}
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"KADEPLOY_ENV": "deb", "KADEPLOY_ENV_EXTRACTION_DIR": "/mnt/dest"}
	for text, want := range map[string]string{
		"$KADEPLOY_ENV_EXTRACTION_DIR/root":  "/mnt/dest/root",
		"$KADEPLOY_ENV/x":                    "deb/x",
		"/a/${KADEPLOY_ENV}_EXTRACTION_DIR$": "/a/deb_EXTRACTION_DIR$",
		"$HOME ${HOME} ${KADEPLOY_ENV $$":    "$HOME ${HOME} ${KADEPLOY_ENV $$",
		"":                                   "",
	} {
		if got := Expand(text, vars); got != want {
			t.Errorf("Expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"SetDeploymentEnv":{"mount_deploy_part":{"pre-ops":[{"action":"exec","command":"id"}]}}}`)
	f.Add(`{"SetDeploymentEnv":{"mount_deploy_part":{"override":true,"post-ops":[{"action":"send","file":"http://h/f","destination":"/"}]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) != nil {
			return
		}
		set, err := Parse(v, known)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Path == "" || e.Reason == "" {
				t.Errorf("%v says not where and what", err)
			}
			return
		}
		for _, op := range set.Ops() {
			if op.Name == "" || op.Action != Exec && (op.Base() == "" || strings.Contains(op.Base(), "/")) || op.Timeout < 0 || op.Retries < 0 {
				t.Errorf("accepted %+v", op)
			}
		}
	})
}
