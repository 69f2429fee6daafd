package client

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer that is no success.
type Error struct {
	Status int    // HTTP
	Code   int    // application error code; -1 if the answer had none
	Text   string // what the server says
	Path   string
}

func (e *Error) Error() string {
	switch {
	case e.Status == http.StatusNotFound && e.Text == "":
		return "Resource not found " + e.Path
	case e.Status == http.StatusNotFound:
		return fmt.Sprintf("Resource not found %s\n%s", e.Path, e.Text)
	case e.Text == "":
		return fmt.Sprintf("the server answered %d %s to %s", e.Status, http.StatusText(e.Status), e.Path)
	}
	return e.Text
}

// ExitStatus is what the command exits with (contract 1.1).
func (e *Error) ExitStatus() int {
	switch {
	case e.Code > 0:
		return e.Code
	case e.Status == http.StatusNotFound:
		return 1
	case e.Status >= 500:
		return 3
	}
	return 2
}

// ExitStatus is what a command exits with because of err.
func ExitStatus(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitStatus()
	}
	return 1
}

// Unreachable is a server that cannot be talked to at all.
type Unreachable struct {
	Server Server
	Cause  error
}

func (u *Unreachable) Error() string {
	if errors.Is(u.Cause, http.ErrSchemeMismatch) {
		return fmt.Sprintf("The server %s at %s does not speak TLS: %v\nIf it serves plain HTTP, set 'secure: false' for it in client.conf.", u.Server.Name, u.Server, u.Cause)
	}
	if u.Server.Socket == "" {
		return fmt.Sprintf("The server %s cannot be reached at %s: %v\nIs the daemon running there? client.conf may name another server; choose it with -S.",
			u.Server.Name, u.Server, u.Cause)
	}
	return fmt.Sprintf("The server cannot be reached at the socket %s: %v\nStart the daemon (systemctl start kadeployd, or kadeployd --config DIR), or name its socket with KADEPLOY_SOCKET.",
		u.Server.Socket, u.Cause)
}

func (u *Unreachable) Unwrap() error { return u.Cause }
