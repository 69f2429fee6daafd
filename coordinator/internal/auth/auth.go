// Package auth finds out who sent a request (contract 7.2): by the kernel's word
// on a Unix socket; else by trusted hosts, HTTP Basic, a certificate, or the
// caller's ident service, in this order. What a user may do is not its concern.
package auth

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/http"

	"kadeploy/coordinator/internal/apperr"
)

// Settings say which methods are used. A whitelist has addresses, networks, host
// names and /regular expressions/ on host names; an empty one has everybody.
// The fields are those of the configuration's type of this purpose.
type Settings struct {
	HeadersPrefix string
	UserHeaders   []string // headers, besides <prefix>User, that carry the user's name

	ACL          bool
	ACLWhitelist []string

	Ident          bool
	IdentWhitelist []string
	IdentPort      int // 0: that of RFC 1413

	Basic          bool
	BasicFile      string
	BasicRealm     string
	BasicWhitelist []string

	Certificate          bool
	CACertificate        string // file
	CAPublicKey          string // file, instead of CACertificate
	CertificateWhitelist []string
}

// Identity is who sent a request.
type Identity struct {
	User string
	UID  int // of a local user, proved by the kernel; -1 for others
}

// nobody is the UID of users who are not proved to be local.
const nobody = -1

// Authenticator knows the methods of one server.
type Authenticator struct {
	settings Settings
	prefix   string
	ca       crypto.PublicKey
	logger   *slog.Logger

	acl, ident, basic, certificate Whitelist
	users                          *passwords
}

// New prepares the methods: it reads the certificate authority's key, and checks
// whitelists and the password file. logger may be nil.
func New(s Settings, logger *slog.Logger) (*Authenticator, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	a := &Authenticator{settings: s, prefix: s.HeadersPrefix, logger: logger}
	if a.prefix == "" {
		a.prefix = "X-Kadeploy-"
	}
	for _, list := range []struct {
		items []string
		into  *Whitelist
		name  string
	}{
		{s.ACLWhitelist, &a.acl, "acl"}, {s.IdentWhitelist, &a.ident, "ident"},
		{s.BasicWhitelist, &a.basic, "http_basic"}, {s.CertificateWhitelist, &a.certificate, "certificate"},
	} {
		var err error
		if *list.into, err = NewWhitelist(list.items); err != nil {
			return nil, fmt.Errorf("authentication by %s: %w", list.name, err)
		}
	}
	if s.Certificate {
		ca, err := readAuthority(s.CACertificate, s.CAPublicKey)
		if err != nil {
			return nil, fmt.Errorf("authentication by certificate: %w", err)
		}
		a.ca = ca
	}
	if s.Basic {
		a.users = &passwords{file: s.BasicFile}
		if _, err := a.users.read(); err != nil {
			return nil, fmt.Errorf("authentication by http_basic: %w", err)
		}
	}
	return a, nil
}

// HeadersPrefix is what clients put before the names of their headers.
func (a *Authenticator) HeadersPrefix() string { return a.prefix }

// Realm is what HTTP Basic asks for; "" if that is not in use.
func (a *Authenticator) Realm() string {
	if !a.settings.Basic {
		return ""
	}
	if a.settings.BasicRealm == "" {
		return "kadeploy"
	}
	return a.settings.BasicRealm
}

// attempt is one method. It tells who the caller is, "" if it cannot; an error
// means that he gave a wrong proof, or that the method itself failed.
type attempt struct {
	name string
	try  func(ctx context.Context, r *http.Request, claimed string) (string, error)
}

// Authenticate finds out who sent r. If nobody, the error is an apperr.Refusal
// with status 401. Why each method failed is logged, not told to the caller.
func (a *Authenticator) Authenticate(r *http.Request) (Identity, error) {
	ctx := r.Context()
	if peer, ok := peerOf(ctx); ok {
		user, err := userName(ctx, peer.Uid)
		if err != nil {
			a.logger.Warn("a local user has no name", slog.Any("error", err))
			return Identity{}, apperr.Unauthorized("your user number %d has no name on this machine", peer.Uid)
		}
		return Identity{User: user, UID: int(peer.Uid)}, nil
	}
	claimed := a.claimed(r)
	for _, m := range a.attempts() {
		user, err := m.try(ctx, r, claimed)
		if err != nil {
			a.logger.Info("authentication failed", slog.String("method", m.name), slog.String("from", r.RemoteAddr), slog.String("user", claimed), slog.Any("error", err))
			continue
		}
		if user != "" {
			return Identity{User: user, UID: nobody}, nil
		}
	}
	return Identity{}, apperr.Unauthorized("no method of this server proves who you are")
}

func (a *Authenticator) attempts() (all []attempt) {
	if a.settings.ACL {
		all = append(all, attempt{"acl", a.byHost})
	}
	if a.settings.Basic {
		all = append(all, attempt{"http_basic", a.byPassword})
	}
	if a.settings.Certificate {
		all = append(all, attempt{"certificate", a.byCertificate})
	}
	if a.settings.Ident {
		all = append(all, attempt{"ident", a.byIdent})
	}
	return all
}

// claimed is the name that the caller gives himself.
func (a *Authenticator) claimed(r *http.Request) string {
	if user := r.Header.Get(a.prefix + "User"); user != "" {
		return user
	}
	for _, header := range a.settings.UserHeaders {
		if user := r.Header.Get(header); user != "" {
			return user
		}
	}
	return ""
}

// byHost believes the callers on trusted hosts.
func (a *Authenticator) byHost(ctx context.Context, r *http.Request, claimed string) (string, error) {
	if claimed == "" || !a.acl.Has(ctx, r.RemoteAddr) {
		return "", nil
	}
	return claimed, nil
}

func (a *Authenticator) byPassword(ctx context.Context, r *http.Request, _ string) (string, error) {
	user, password, given := r.BasicAuth()
	if !given || !a.basic.Has(ctx, r.RemoteAddr) {
		return "", nil
	}
	if err := a.users.check(user, password); err != nil {
		return "", err
	}
	return user, nil
}
