package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// byCertificate believes a certificate in the header <prefix>Certificate that the
// authority has signed; its common name is the user. The caller need not give his
// name, but if he does it must be that one: contract 7.2 has "contains", with
// which "bob" could be "bobby".
func (a *Authenticator) byCertificate(ctx context.Context, r *http.Request, claimed string) (string, error) {
	text := r.Header.Get(a.prefix + "Certificate")
	if text == "" || !a.certificate.Has(ctx, r.RemoteAddr) {
		return "", nil
	}
	cert, err := decodeCertificate(text)
	if err != nil {
		return "", err
	}
	if err := signedBy(cert, a.ca); err != nil {
		return "", err
	}
	if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return "", fmt.Errorf("the certificate is valid from %s to %s only", cert.NotBefore, cert.NotAfter)
	}
	user := cert.Subject.CommonName
	if user == "" || claimed != "" && claimed != user {
		return "", fmt.Errorf("the certificate is for %q", user)
	}
	return user, nil
}

func decodeCertificate(text string) (*x509.Certificate, error) {
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("certificate in the header: %w", err)
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("certificate in the header: %w", err)
	}
	return cert, nil
}

// signedBy checks the signature alone: the configuration may have nothing of the
// authority but its key.
func signedBy(cert *x509.Certificate, ca crypto.PublicKey) error {
	authority := &x509.Certificate{PublicKey: ca}
	switch ca.(type) {
	case *rsa.PublicKey:
		authority.PublicKeyAlgorithm = x509.RSA
	case *ecdsa.PublicKey:
		authority.PublicKeyAlgorithm = x509.ECDSA
	case ed25519.PublicKey:
		authority.PublicKeyAlgorithm = x509.Ed25519
	}
	if err := authority.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return fmt.Errorf("the certificate is not of the authority: %w", err)
	}
	return nil
}

// readAuthority reads the key of the certificate authority from its certificate,
// or from a file with the key alone.
func readAuthority(certificate, key string) (crypto.PublicKey, error) {
	file := certificate
	if file == "" {
		file = key
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("authority: %s is not in PEM form", file)
	}
	public, err := publicKey(block)
	if err != nil {
		return nil, fmt.Errorf("authority: %s: %w", file, err)
	}
	switch public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return public, nil
	}
	return nil, fmt.Errorf("authority: %s: keys of this kind (%T) are not supported: use RSA, EC or Ed25519", file, public)
}

func publicKey(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	}
	return nil, errors.New("holds neither a certificate nor a public key, but " + block.Type)
}
