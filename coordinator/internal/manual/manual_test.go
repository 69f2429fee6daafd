package manual

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func command() *cobra.Command {
	root := &cobra.Command{Use: "kadeploy"}
	cmd := &cobra.Command{
		Use:     "deploy [ENVIRONMENT] [options]",
		Short:   "Deploy an environment",
		Long:    "Deploy it: with a 'quote', a \\ and a ~.\n.not a macro\n\n  a line\n\nExit status:\n  0  good\n  1  bad",
		Example: "  kadeploy deploy x-y\n  .kadeploy",
		Run:     func(*cobra.Command, []string) {},
	}
	root.AddCommand(cmd)
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringP("key", "k", "", "the keys in `FILE`")
	fs.Lookup("key").NoOptDefVal = "~"
	fs.String("reboot-classical-timeout-of-all", "", "an `EXPRESSION` that is told in so many words that they need several lines, of which each is short enough")
	fs.Bool("wait", true, "wait, or not")
	fs.BoolP("debug", "d", false, "tell more")
	fs.Bool("secret", false, "is not shown")
	fs.Lookup("secret").Hidden = true
	return cmd
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestTable(t *testing.T) {
	golden(t, "testdata/table.txt", Table(Options(command()), 72))
}

func TestPage(t *testing.T) {
	var b strings.Builder
	err := Write(&b, command(), Page{Section: "1", Source: "kadeploy 1.0", See: []string{"kaenv3(1)"}, Notes: []Note{{"FILES", "/etc/x   the x"}}})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/page.1", b.String())
}

func TestWrap(t *testing.T) {
	for _, width := range []int{1, 5, 80} {
		for _, line := range wrap("a bb ccc dddddddd", width) {
			if len(line) > width && strings.Contains(line, " ") {
				t.Errorf("width %d: %q", width, line)
			}
		}
	}
	if got := wrap("", 10); len(got) != 1 || got[0] != "" {
		t.Errorf("wrap of nothing = %q", got)
	}
}
