package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of users.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.key, a.cert = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "site"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a key and a certificate; the first one signs itself.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func (a *authority) pem() string { return pemOf(a.cert) }

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// header is what a user sends, whose certificate ends at a time.
func (a *authority) header(t *testing.T, user string, ends time.Time) string {
	t.Helper()
	_, cert := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: user}, NotAfter: ends})
	return base64.StdEncoding.EncodeToString([]byte(pemOf(cert)))
}

// identd says whose connections are those of a host: always the same user's.
func identd(t *testing.T, s *site, address, user string) {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(address, s.ident))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			fmt.Fprintf(conn, "%s : USERID : UNIX : %s\r\n", strings.TrimSpace(line), user)
			conn.Close()
		}
	}()
}

// proofs are certificates and ident, with and without the user's name; who is
// believed to call is seen by whose environment is registered.
func proofs(t *testing.T, s *site) {
	identd(t, s, "127.0.0.8", "ida")
	in, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	stranger := newAuthority(t)
	for i, c := range []struct {
		name, from, user, certificate string
		who                           string // "": refused
	}{
		{"certificate", "127.0.0.9", "", s.authority.header(t, "cora", in), "cora"},
		{"certificate and user", "127.0.0.9", "cora", s.authority.header(t, "cora", in), "cora"},
		{"certificate and another user", "127.0.0.9", "root", s.authority.header(t, "cora", in), ""},
		{"a part of the certificate's user", "127.0.0.9", "cor", s.authority.header(t, "cora", in), ""},
		{"certificate of the past", "127.0.0.9", "", s.authority.header(t, "cora", past), ""},
		{"certificate of another authority", "127.0.0.9", "", stranger.header(t, "cora", in), ""},
		{"no certificate", "127.0.0.9", "cora", "bm90aGluZw==", ""},
		{"ident", "127.0.0.8", "", "", "ida"},
		{"ident and user", "127.0.0.8", "ida", "", "ida"},
		{"ident and another user", "127.0.0.8", "root", "", ""},
		{"ident of another host", "127.0.0.9", "ida", "", ""},
	} {
		body := fmt.Sprintf(`{"environment":{%s}}`, s.environment(fmt.Sprint("proof-", i), ""))
		text := "POST /environments HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n"
		if c.user != "" {
			text += "X-Kadeploy-User: " + c.user + "\r\n"
		}
		if c.certificate != "" {
			text += "X-Kadeploy-Certificate: " + c.certificate + "\r\n"
		}
		a := send(t, s, c.from, text+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
		if refused := c.who == ""; refused != (a.status == 401) || !refused && !strings.Contains(a.body, fmt.Sprintf(`"user": %q`, c.who)) {
			t.Errorf("%s = %d %s, want user %q", c.name, a.status, a.body, c.who)
		}
	}
}
