package lab_test

import (
	"strings"
	"testing"

	"kadeploy/minios/lab"
)

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "",
		"a\r\nb\n":                         "a\nb\n",
		"\x1bc\x1b[?7l\x1b[2J\x1b[0mSea":   "Sea",
		"\x1b[0;1miPXE 1.0\x1b[0m -- \x08": "iPXE 1.0 -- ",
		"cut \x1b":                         "cut ",
		"cut \x1b[0;3":                     "cut ",
		"é\t\x7f\x00":                      "é\t",
	} {
		if got := lab.PlainText([]byte(in)); got != want {
			t.Errorf("PlainText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		in    string
		count int
		want  string
	}{
		{"a\nb\nc\n\n", 2, "b\nc"},
		{"a\nb", 5, "a\nb"},
		{"", 5, ""},
	} {
		if got := lab.LastLines([]byte(c.in), c.count); got != c.want {
			t.Errorf("LastLines(%q, %d) = %q, want %q", c.in, c.count, got, c.want)
		}
	}
}

func FuzzPlainText(f *testing.F) {
	f.Add([]byte("\x1b[0;36mhttp\x1b[0m\r\n"))
	f.Add([]byte("\x1b[\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if got := lab.PlainText(in); len(got) > len(in) || strings.ContainsAny(got, "\x1b\x00\r\x7f") {
			t.Errorf("PlainText(%q) = %q", in, got)
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(`{"QMP": {"version": {}, "capabilities": ["oob"]}}` + "\r\n" + `{"return": {}, "id": 1}` + "\r\n"))
	f.Add([]byte(`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {}}` + "\n"))
	f.Add([]byte(`{"id": 2, "error": {"class": "CommandNotFound", "desc": "none"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, most := lab.ParseMessages(in), strings.Count(string(in), "\n")+1; got > most {
			t.Errorf("%d messages in %d lines", got, most)
		}
	})
}
