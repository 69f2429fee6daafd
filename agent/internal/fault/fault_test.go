package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestKindOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want Kind
	}{
		{"plain", errors.New("x"), Internal},
		{"direct", Invalidf("empty device"), Invalid},
		{"wrapped", fmt.Errorf("format /dev/vda3: %w", Preconditionf("it is mounted")), Precondition},
		{"joined", errors.Join(errors.New("x"), DataLossf("y")), DataLoss},
		{"outermost wins", Preconditionf("a: %w", Invalidf("b")), Precondition},
	} {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("%s: KindOf(%v) = %v, want %v", tt.name, tt.err, got, tt.want)
		}
	}
}

func TestUnwrap(t *testing.T) {
	err := DataLossf("read image: %w", io.ErrUnexpectedEOF)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("errors.Is(%v, io.ErrUnexpectedEOF) = false, want true", err)
	}
	if got, want := err.Error(), "read image: unexpected EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
