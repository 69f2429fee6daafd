package apperr

import (
	"errors"
	"fmt"
)

// Error is an application error: a code, and what exactly is wrong.
type Error struct {
	Code   Code
	Detail string
	Cause  error // may be nil
}

// New makes an application error. A %w in the format sets its cause.
func New(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Detail: err.Error(), Cause: errors.Unwrap(err)}
}

// Error is the detail, or the code's general text if there is none.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code.Text()
	}
	return e.Detail
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ApplicationCode is how Of finds the code of this and of other packages' errors.
func (e *Error) ApplicationCode() Code { return e.Code }

// Of finds the code of an error or of the errors that it wraps. Any error type
// takes part that has a method ApplicationCode.
func Of(err error) (Code, bool) {
	var coded interface{ ApplicationCode() Code }
	if errors.As(err, &coded) {
		return coded.ApplicationCode(), true
	}
	return 0, false
}

// Text is the body of an answer (contract 7.3): the code's general text and,
// after " -- ", the error's own. Without a code it is the error's own text.
func Text(err error) string {
	code, ok := Of(err)
	if !ok {
		return err.Error()
	}
	if detail := err.Error(); detail != code.Text() {
		return code.Text() + " -- " + detail
	}
	return code.Text()
}

// Refusal is an error that has an HTTP status instead of an application code:
// 403 for what the caller may not do, 404 for what does not exist.
type Refusal struct {
	Status int
	Detail string
}

// Forbidden refuses an operation to its caller (403).
func Forbidden(format string, args ...any) *Refusal {
	return &Refusal{Status: 403, Detail: fmt.Sprintf(format, args...)}
}

// NotFound says that nothing has the wanted name (404).
func NotFound(format string, args ...any) *Refusal {
	return &Refusal{Status: 404, Detail: fmt.Sprintf(format, args...)}
}

func (r *Refusal) Error() string { return r.Detail }

// StatusOf is the HTTP status of a Refusal in err, or 0.
func StatusOf(err error) int {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Status
	}
	return 0
}

// Unauthorized refuses a caller of whom it is not known who he is (401).
func Unauthorized(format string, args ...any) *Refusal {
	return &Refusal{Status: 401, Detail: fmt.Sprintf(format, args...)}
}
