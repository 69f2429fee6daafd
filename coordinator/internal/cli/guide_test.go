package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestGuide checks that the options that the users' guide writes are those of
// some command, but for the list of what there is not.
func TestGuide(t *testing.T) {
	data, err := os.ReadFile("../../../docs/user-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{"help": true, "no-x": true}
	for _, cmd := range (&App{Name: "kadeploy"}).root().Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			flags[f.Name] = true
			if isSwitch(f) {
				flags["no-"+f.Name] = true
			}
		})
	}
	option := regexp.MustCompile(`--([a-z][a-z-]*[a-z])`)
	found := 0
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "not there yet") {
			continue
		}
		for _, m := range option.FindAllStringSubmatch(line, -1) {
			found++
			if !flags[m[1]] {
				t.Errorf("docs/user-guide.md has --%s, which no command has", m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d options are found in docs/user-guide.md", found)
	}
}

func TestSchedulers(t *testing.T) {
	file := t.TempDir() + "/nodes"
	if err := os.WriteFile(file, []byte("n-9.a\nn-9.a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		m    machines
		want string // "": an error
	}{
		{name: "nothing"},
		{name: "Slurm", env: map[string]string{"SLURM_JOB_NODELIST": "n-[1-2,5].a,m.a"}, want: "n-1.a n-2.a n-5.a m.a"},
		{name: "not a set", env: map[string]string{"SLURM_JOB_NODELIST": "n-[1"}},
		{name: "OAR comes first", env: map[string]string{"OAR_NODEFILE": file, "SLURM_JOB_NODELIST": "n-1.a"}, want: "n-9.a"},
		{name: "a choice comes first", env: map[string]string{"SLURM_JOB_NODELIST": "n-1.a"}, m: machines{names: []string{"n-3.a"}}, want: "n-3.a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.m.app = &App{Getenv: func(name string) string { return tt.env[name] }}
			got, err := tt.m.chosen()
			if strings.Join(got, " ") != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("chosen() = %v, %v, want %q", got, err, tt.want)
			}
		})
	}
}
