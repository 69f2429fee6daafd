package launch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
		err  string
	}{
		{"", nil, ""},
		{" ssh  -o A=B ", []string{"ssh", "-o", "A=B"}, ""},
		{`ssh -o 'ProxyCommand nc %h "22"' a"b c"d\ e ''`, []string{"ssh", "-o", `ProxyCommand nc %h "22"`, "ab cd e", ""}, ""},
		{`"a\"b\\c\d$"`, []string{`a"b\c\d$`}, ""},
		{"'a", nil, "not closed"},
		{`"a`, nil, "not closed"},
		{`a\`, nil, "follows"},
	} {
		got, err := Words(c.in)
		if !slices.Equal(got, c.want) || (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("Words(%s) = %q, %v, want %q, %q", c.in, got, err, c.want, c.err)
		}
	}
}

// FuzzWords: what is quoted comes back as it was, here and from a shell.
func FuzzWords(f *testing.F) {
	f.Add("a b'c\"d\\e")
	f.Fuzz(func(t *testing.T, s string) {
		Words(s) // must not crash
		if got, err := Words(quote(s)); err != nil || !slices.Equal(got, []string{s}) {
			t.Errorf("Words(quote(%q)) = %q, %v", s, got, err)
		}
	})
}

func TestQuoteInShell(t *testing.T) {
	const s = `it's "$HOME" \ ` + "`id`"
	if out, err := exec.Command("sh", "-c", "printf %s "+quote(s)).Output(); err != nil || string(out) != s {
		t.Errorf("the shell made %q of it, %v", out, err)
	}
}
