package api

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/loan"
)

// readClient reads where the client's files are found: the base URL of its export
// server, or the loan of its open files.
func (s *server) readClient(c *call) string {
	text := c.text("client")
	if _, lent := loan.ID(text); text == "" || lent {
		return text
	}
	u, err := url.Parse(text)
	refuse := func(format string, args ...any) {
		if c.first == nil {
			c.first = apperr.New(apperr.InvalidClient, "Parameter 'client': "+format, args...)
		}
	}
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		refuse("%q is not the URL of a client's export server", text)
	case s.SecureClients && u.Scheme != "https":
		refuse("this server fetches clients' files over https only; use --secure")
	}
	return text
}

// lendFiles is POST /files: a local client turns its connection into one on which
// it passes open files.
func (s *server) lendFiles(c *call) (any, error) {
	if c.caller.UID < 0 {
		return nil, apperr.Forbidden("files are lent over the Unix socket only; export them over HTTP")
	}
	if !strings.EqualFold(c.r.Header.Get("Upgrade"), loan.Protocol) || !strings.EqualFold(c.r.Header.Get("Connection"), "Upgrade") {
		c.w.Header().Set("Upgrade", loan.Protocol)
		return nil, &httpError{http.StatusUpgradeRequired, "this resource speaks " + loan.Protocol + " only"}
	}
	conn, buffered, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return nil, err
	}
	local, ok := conn.(*net.UnixConn)
	if !ok || buffered.Reader.Buffered() > 0 {
		// A descriptor that came with these bytes is lost: the client must wait for the answer.
		conn.Close()
		return streamed, nil
	}
	err = local.SetDeadline(time.Time{})
	if err == nil {
		_, err = io.WriteString(local, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+loan.Protocol+"\r\n\r\n")
	}
	if err != nil {
		local.Close()
		return streamed, nil
	}
	if err := s.Lender.Serve(local, c.caller.UID); err != nil {
		s.Logger.Info("a loan of files broke off", "user", c.caller.User, "error", err)
	}
	return streamed, nil
}
