package kernellog

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestTailHasWhatWasWritten(t *testing.T) {
	w, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("the kernel's log cannot be written here: %v", err)
	}
	defer w.Close()
	line := "kernellog test " + time.Now().Format(time.RFC3339Nano)
	if _, err := w.WriteString("<13>" + line + "\n"); err != nil {
		t.Fatal(err)
	}
	text, err := Tail(16 << 10)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "] "+line) {
		t.Errorf("Tail = ...%q, want a line that ends with %q", text[max(0, len(text)-300):], line)
	}
	if strings.HasPrefix(text, "<") || strings.Contains(text, "\n<") {
		t.Errorf("Tail has priorities: %.200q", text)
	}
}

func TestCut(t *testing.T) {
	if got := plain([]byte("<6>[ 1.0] a\n<13>[ 2.0] b <c>\nno mark\n")); got != "[ 1.0] a\n[ 2.0] b <c>\nno mark" {
		t.Errorf("plain = %q", got)
	}
	for limit, want := range map[int]string{100: "one\ntwo\nthree", 11: "two\nthree", 7: "three", 3: "ree"} {
		if got := last("one\ntwo\nthree", limit); got != want {
			t.Errorf("last(%d) = %q, want %q", limit, got, want)
		}
	}
}
