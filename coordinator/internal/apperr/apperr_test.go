package apperr

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCodes(t *testing.T) {
	names := strings.Fields(`0:BAD_CONFIGURATION 1:INVALID_WORKFLOW_ID 2:INVALID_NODELIST 3:INVALID_CLIENT 4:INVALID_OPTION 5:INVALID_FILE
		6:INVALID_RIGHTS 7:INVALID_ENVIRONMENT 8:INVALID_CUSTOMOP 9:INVALID_VLAN 10:EXISTING_ELEMENT 11:CONFLICTING_ELEMENTS 12:MISSING_OPTION
		13:CONFLICTING_OPTIONS 14:NOTHING_MODIFIED 15:EXECUTE_ERROR 20:DATABASE_ERROR 21:CACHE_ERROR 22:CACHE_FULL 30:DESTRUCTIVE_ENVIRONMENT`)
	i := 0
	for code := range Code(100) {
		if strings.HasPrefix(code.Name(), "ERROR_") {
			continue
		}
		if got := fmt.Sprintf("%d:%s", int(code), code.Name()); i >= len(names) || got != names[i] {
			t.Fatalf("code %s, want %s (contract 7.3)", got, names[min(i, len(names)-1)])
		}
		if code.Text() == "" {
			t.Errorf("%v has no text", code)
		}
		i++
	}
	if i != len(names) {
		t.Errorf("%d codes, want %d", i, len(names))
	}
}

func TestText(t *testing.T) {
	cause := errors.New("disk full")
	for _, test := range []struct {
		err  error
		want string
	}{
		{New(InvalidFile, "read %s: %w", "/x", cause), "Invalid file -- read /x: disk full"},
		{&Error{Code: CacheFull}, "The cache is full"},
		{fmt.Errorf("while adding: %w", New(ExistingElement, "x")), "Element already exists -- while adding: x"},
		{cause, "disk full"},
	} {
		if got := Text(test.err); got != test.want {
			t.Errorf("Text = %q, want %q", got, test.want)
		}
	}
	if err := New(InvalidFile, "read: %w", cause); !errors.Is(err, cause) {
		t.Error("New loses the cause")
	}
	if _, ok := Of(cause); ok {
		t.Error("Of finds a code where there is none")
	}
}

func TestRefusal(t *testing.T) {
	for err, want := range map[error]int{
		Forbidden("x"): 403, NotFound("x"): 404, Unauthorized("x"): 401, fmt.Errorf("y: %w", NotFound("x")): 404, errors.New("x"): 0,
	} {
		if got := StatusOf(err); got != want {
			t.Errorf("StatusOf(%v) = %d, want %d", err, got, want)
		}
	}
	if _, ok := Of(Forbidden("x")); ok {
		t.Error("a refusal has an application code")
	}
}
