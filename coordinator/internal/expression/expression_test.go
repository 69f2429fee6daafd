package expression

import (
	"math"
	"strings"
	"testing"
)

func TestEval(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want float64
	}{
		{"120", 5, 120},
		{"n", 7, 7},
		{" 60 + n*2 ", 3, 66},
		{"(n/10+1)*30", 20, 90},
		{"n/2", 3, 1.5},
		{"1.5*n", 4, 6},
		{"2+3*4-5", 1, 9},
		{"10-3-2", 1, 5},
		{"16/4/2", 1, 2},
		{"-n+10", 4, 6},
		{"--3", 1, 3},
		{"2*-3", 1, -6},
		{"((((n))))", 2, 2},
	} {
		if got, err := Eval(c.text, c.n); err != nil || got != c.want {
			t.Errorf("Eval(%q, %d) = %v, %v, want %v", c.text, c.n, got, err, c.want)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "ends where a number"},
		{"  ", "ends where a number"},
		{"1+", "ends where a number"},
		{"n n", `unexpected 'n' at position 3`},
		{"2n", `unexpected 'n' at position 2`},
		{"nn", `unexpected 'n' at position 2`},
		{"system('id')", `unexpected 's' at position 1`},
		{"(1+2", "not closed"},
		{"1)", `unexpected ')'`},
		{"1/0", "division by zero"},
		{"1/(n-1)", "division by zero"},
		{"1.2.3", "is not a number"},
		{strings.Repeat("(", 200), "inside each other"},
		{strings.Repeat("-", 200) + "1", "inside each other"},
		{strings.Repeat("1", 300), "at most 256"},
	} {
		v, err := Eval(c.text, 1)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Eval(%q) = %v, %v, want an error with %q", c.text, v, err, c.want)
		}
	}
}

func FuzzEval(f *testing.F) {
	for _, s := range []string{"120", "60+n*2", "(n/10+1)*30", "-(-n)", "1.5*n", "1/0", "((", "n/(n-n)", "9e9"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		v, err := Eval(text, n)
		if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
			t.Errorf("Eval(%q, %d) = %v without an error", text, n, v)
		}
		if wrapped, werr := Eval("("+text+")+0", n); err == nil && len(text) < 200 && werr == nil && wrapped != v {
			t.Errorf("Eval(%q) = %v, in parentheses %v", text, v, wrapped)
		}
	})
}
