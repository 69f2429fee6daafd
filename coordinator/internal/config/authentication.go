package config

import (
	"net/netip"
	"regexp"
	"strings"

	"kadeploy/coordinator/internal/tree"
)

func (l *loader) authentication(n *tree.Node) Authentication {
	acl, ident, basic, cert := n.Get("acl"), n.Get("ident"), n.Get("http_basic"), n.Get("certificate")
	global := n.Get("global")
	a := Authentication{
		HeadersPrefix: global.Get("headers_prefix").String("X-Kadeploy-"),
		UserHeaders:   global.Get("user_headers").Strings(),
		ACL:           acl.Exists(),
		Ident:         ident.Exists(),
		Basic:         basic.Exists(),
		Certificate:   cert.Exists(),
	}
	if a.ACL {
		a.ACLWhitelist = whitelist(acl.Get("whitelist").Must())
	}
	if a.Ident {
		a.IdentWhitelist = whitelist(ident.Get("whitelist").Must())
		a.IdentPort = port(ident.Get("port"), 113)
	}
	if a.Basic {
		a.BasicFile = l.existing(basic.Get("dbfile").Must())
		a.BasicRealm = basic.Get("realm").String("")
		a.BasicWhitelist = whitelist(basic.Get("whitelist"))
	}
	if a.Certificate {
		key := cert.Get("ca_public_key")
		a.CACertificate = l.existing(cert.Get("ca_cert"))
		a.CAPublicKey = l.existing(key.Get("file"))
		key.Get("algorithm").Choice("", "RSA", "DSA", "EC") // the file tells it
		a.CertificateWhitelist = whitelist(cert.Get("whitelist"))
		if a.CACertificate == "" && a.CAPublicKey == "" {
			cert.Fail("Either 'ca_cert' or 'ca_public_key' is mandatory")
		}
	}
	return a
}

// whitelist checks the items that can be wrong: networks and regular expressions.
func whitelist(n *tree.Node) []string {
	items := n.Strings()
	for _, item := range items {
		var err error
		switch {
		case len(item) > 1 && strings.HasPrefix(item, "/") && strings.HasSuffix(item, "/"):
			_, err = regexp.Compile(item[1 : len(item)-1])
		case strings.Contains(item, "/"):
			_, err = netip.ParsePrefix(item)
		}
		if err != nil {
			n.Fail("Invalid value '%s': %v", item, err)
		}
	}
	return items
}

// localOnly lets callers come from this machine only (security.local_only).
func (a *Authentication) localOnly() {
	for _, list := range []*[]string{&a.ACLWhitelist, &a.IdentWhitelist, &a.BasicWhitelist, &a.CertificateWhitelist} {
		*list = []string{"127.0.0.0/8", "::1"}
	}
}
