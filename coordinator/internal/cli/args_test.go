package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlain(t *testing.T) {
	tests := []struct{ in, want string }{
		{"-k -d -e X", "--key --debug-mode --env-name=X"}, // as execo calls
		{"-k FILE -e X", "--key=FILE --env-name=X"},
		{"-k", "--key"},
		{"-kFILE", "--key=FILE"},
		{"--key FILE", "--key=FILE"},
		{"--key=FILE x", "--key=FILE x"},
		{"-dk FILE", "--debug-mode --key=FILE"},
		{"-p 3 -b /dev/sda", "--partition-number=3 --block-device=/dev/sda"},
		{"-f -", "--file=-"},
		{"-f - -m -x", "--file=- --machine=-x"}, // a mandatory argument may start with a dash
		{"--no-wait --no-force --no-kexec", "--wait=false --force=false --no-kexec"},
		{"--mach n --breakp A:b", "--machine=n --breakpoint=A:b"},
		{"--no-ki", "--no-ki"}, // unknown: pflag complains
		{"-Zd", "-Zd"},
		{"env -m n -- -k x", "env --machine=n -- -k x"},
		{"-V4 debian", "--verbose-level=4 debian"},
		{"--help", "--help"},
	}
	for _, tt := range tests {
		cmd := (&App{Name: "kadeploy3"}).root()
		got, err := plain(cmd.Flags(), strings.Fields(tt.in))
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("plain(%s) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	if _, err := plain((&App{Name: "kadeploy3"}).root().Flags(), []string{"--env"}); err == nil || !strings.Contains(err.Error(), "ambiguous") {
		t.Errorf("--env is ambiguous, got %v", err)
	}
}

func TestParseSteps(t *testing.T) {
	want := map[string][]Instance{
		"SetDeploymentEnv": {{"SetDeploymentMiniOSUntrusted", 0, 900}},
		"BroadcastEnv":     {{"BroadcastEnvKascade", 1, 1200}},
		"BootNewEnv":       {{"BootNewEnvKexec", 0, 200}, {"BootNewEnvClassical", 1, 400}},
	}
	got, err := ParseSteps("SetDeploymentMiniOS|SetDeploymentMiniOSUntrusted:0:900&BroadcastEnv|BroadcastEnvKascade:1:1200&BootNewEnv|BootNewEnvKexec:0:200,BootNewEnvClassical:1:400")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"", "&&", "a&b&c",
		"BroadcastEnv|BroadcastEnvKascade:1:2&SetDeploymentEnv|SetDeploymentEnvUntrusted:1:2&BootNewEnv|BootNewEnvKexec:0:1", // order
		"SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&BroadcastEnv|BroadcastEnvKascade:1:1200",                           // one is missing
		"SetDeploymentEnv|BootNewEnvKexec:1:450&BroadcastEnv|BroadcastEnvKascade:1:1200&BootNewEnv|BootNewEnvKexec:0:1",
		"SetDeploymentEnv|SetDeploymentEnvUntrusted:x:450&BroadcastEnv|BroadcastEnvKascade:1:1200&BootNewEnv|BootNewEnvKexec:0:1",
		"SetDeploymentEnv|SetDeploymentEnvUntrusted:1&BroadcastEnv|BroadcastEnvKascade:1:1200&BootNewEnv|BootNewEnvKexec:0:1",
		"SetDeploymentEnv|SetDeploymentEnvUntrusted:-1:3&BroadcastEnv|BroadcastEnvKascade:1:1200&BootNewEnv|BootNewEnvKexec:0:1",
	} {
		if got, err := ParseSteps(bad); err == nil {
			t.Errorf("ParseSteps(%q) = %v, want an error", bad, got)
		}
	}
}

func TestParseVariables(t *testing.T) {
	got, err := ParseVariables([]string{"A=1", "B=x=y", "C=", "A=2"})
	if diff := cmp.Diff(map[string]string{"A": "2", "B": "x=y", "C": ""}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"", "A", "=1", "A B=1", "CLUSTER=x", "A=\x00"} {
		if _, err := ParseVariables([]string{bad}); err == nil {
			t.Errorf("ParseVariables(%q) gives no error", bad)
		}
	}
}

func FuzzParseSteps(f *testing.F) {
	f.Add("SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&BroadcastEnv|BroadcastEnvKascade:1:1200&BootNewEnv|BootNewEnvClassical:1:400")
	f.Add("SetDeploymentMiniOS|:0:0&BroadcastEnv|:&BootNewEnv|")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseSteps(text)
		if err != nil {
			return
		}
		for _, macro := range macroSteps {
			if len(got[macro]) == 0 {
				t.Errorf("%q: no instance of %s", text, macro)
			}
			for _, inst := range got[macro] {
				if inst.Retries < 0 || inst.Timeout < 0 || inst.Name == "" {
					t.Errorf("%q: %+v", text, inst)
				}
			}
		}
	})
}

func FuzzParseVariables(f *testing.F) {
	f.Add("BOOTLOADER_NO_INSTALL=1")
	f.Add("=")
	f.Fuzz(func(t *testing.T, text string) {
		vars, err := ParseVariables([]string{text})
		if err != nil {
			return
		}
		for key, value := range vars {
			if key+"="+value != text {
				t.Errorf("%q became %q=%q", text, key, value)
			}
		}
	})
}

func FuzzPlain(f *testing.F) {
	f.Add("-k -d -e X")
	f.Add("--no-wait -V4 --env- -- -x")
	f.Fuzz(func(t *testing.T, line string) {
		fs := (&App{Name: "kadeploy3"}).root().Flags()
		words, err := plain(fs, strings.Fields(line))
		if err != nil {
			return
		}
		_ = fs.Parse(words) // may refuse, must not panic
	})
}
