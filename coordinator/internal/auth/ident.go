package auth

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	identPort = 113 // RFC 1413
	// identTime bounds the whole exchange (contract 5.1).
	identTime = 10 * time.Second
	// identLine bounds the answer: RFC 1413 has a thousand characters.
	identLine = 1024
)

// byIdent asks the caller's machine whose connection this is.
func (a *Authenticator) byIdent(ctx context.Context, r *http.Request, claimed string) (string, error) {
	if !a.ident.Has(ctx, r.RemoteAddr) {
		return "", nil
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return "", nil
	}
	user, err := askIdent(ctx, r.RemoteAddr, local.String(), cmp.Or(a.settings.IdentPort, identPort))
	if err != nil {
		return "", err
	}
	if claimed != "" && claimed != user {
		return "", fmt.Errorf("ident: the connection is of %q", user)
	}
	return user, nil
}

// askIdent speaks RFC 1413 with the machine of remote, about its connection to local.
func askIdent(ctx context.Context, remote, local string, port int) (string, error) {
	there, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "", fmt.Errorf("ident: caller's address: %w", err)
	}
	here, err := netip.ParseAddrPort(local)
	if err != nil {
		return "", fmt.Errorf("ident: own address: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, identTime)
	defer cancel()
	// From the address that was called: the other side looks for a pair of addresses.
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: here.Addr().Unmap().AsSlice()}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(there.Addr().String(), strconv.Itoa(port)))
	if err != nil {
		return "", fmt.Errorf("ident: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", fmt.Errorf("ident: %w", err)
		}
	}
	if _, err := fmt.Fprintf(conn, "%d , %d\r\n", there.Port(), here.Port()); err != nil {
		return "", fmt.Errorf("ident: %w", err)
	}
	line, err := bufio.NewReader(io.LimitReader(conn, identLine)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("ident: read answer of %s: %w", there.Addr(), err)
	}
	return parseIdent(line, there.Port(), here.Port())
}

// parseIdent reads an answer: 6193, 23 : USERID : UNIX : stjohns.
func parseIdent(line string, there, here uint16) (string, error) {
	fields := strings.SplitN(strings.TrimRight(line, "\r\n"), ":", 4)
	theirs, ours, _ := strings.Cut(fields[0], ",")
	if strings.TrimSpace(theirs) != strconv.Itoa(int(there)) || strings.TrimSpace(ours) != strconv.Itoa(int(here)) {
		return "", fmt.Errorf("ident: the answer is about another connection: %q", line)
	}
	if len(fields) != 4 || strings.TrimSpace(fields[1]) != "USERID" {
		return "", fmt.Errorf("ident: no user in the answer %q", line)
	}
	user := strings.TrimSpace(fields[3])
	if user == "" || strings.ContainsAny(user, " \x00") {
		return "", fmt.Errorf("ident: no user in the answer %q", line)
	}
	return user, nil
}
