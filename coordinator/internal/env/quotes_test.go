package env

import (
	"os/exec"
	"testing"
)

// lines are whole, or not, as bash sees it.
var lines = map[string]bool{
	"setup": true, "": true, "none": true,
	"setup --motd 'hello, world'": true,
	`setup --motd "it's"`:         true,
	`setup --motd it\'s`:          true,
	`setup "a\"b" 'c"d'`:          true,
	`setup $'it\'s'`:              true,
	`setup 'back\'`:               true,
	"setup # it's a comment":      true,
	"setup a#'b'":                 true,
	`sed 's/a,b/c "d"/' -e "x"`:   true,
	"setup --motd 'hello":         false,
	`setup --motd "hello`:         false,
	"setup --motd it's":           false,
	`setup "a\"`:                  false,
	`setup $'it\'`:                false,
	"setup a#'b":                  false,
	`setup \`:                     false,
	"setup 'a' 'b' 'c":            false,
	`setup "$(echo 'it"s')"`:      true,
	`'my script' "--inittab='s0:12345:respawn:/sbin/agetty'"`: true,
}

func TestOpenQuote(t *testing.T) {
	for line, whole := range lines {
		if got := openQuote(line) == 0; got != whole {
			t.Errorf("%s: whole: %t, want %t", line, got, whole)
		}
	}
}

// TestOpenQuoteIsTheShells compares with bash, which says of a line that is not whole
// that it looked for its end. A backslash at the end it takes as it stands.
func TestOpenQuoteIsTheShells(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	for line, whole := range lines {
		if openQuote(line) == '\\' {
			continue
		}
		if err := exec.Command(bash, "-n", "-c", line).Run(); (err == nil) != whole {
			t.Errorf("bash -n -c %q: %v, want it to be right: %t", line, err, whole)
		}
	}
}
