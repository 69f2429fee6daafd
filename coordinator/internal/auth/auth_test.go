package auth

import (
	"context"
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
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"kadeploy/coordinator/internal/apperr"
)

const (
	near = "127.0.0.1:4000"
	far  = "192.0.2.7:4000"
)

func request(remote string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/nodes", nil)
	r.RemoteAddr = remote
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func newAuth(t *testing.T, s Settings) *Authenticator {
	t.Helper()
	a, err := New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// check expects user, or a refusal with 401 if it is "".
func check(t *testing.T, what string, a *Authenticator, r *http.Request, user string) {
	t.Helper()
	id, err := a.Authenticate(r)
	switch {
	case user == "" && err == nil:
		t.Errorf("%s: accepted as %q, want a refusal", what, id.User)
	case user == "" && apperr.StatusOf(err) != 401:
		t.Errorf("%s: %v, want a refusal with 401", what, err)
	case user != "" && (err != nil || id.User != user || id.UID != nobody):
		t.Errorf("%s: %+v, %v, want %q", what, id, err, user)
	}
}

func TestNothingConfigured(t *testing.T) {
	check(t, "no method", newAuth(t, Settings{}), request(near, "X-Kadeploy-User", "root"), "")
}

func TestACL(t *testing.T) {
	a := newAuth(t, Settings{ACL: true, ACLWhitelist: []string{"127.0.0.0/8", "::1"}, UserHeaders: []string{"X-Remote-Ident"}})
	check(t, "trusted host", a, request(near, "X-Kadeploy-User", "bob"), "bob")
	check(t, "trusted host, other header", a, request(near, "X-Remote-Ident", "bob"), "bob")
	check(t, "trusted host, v6", a, request("[::1]:99", "X-Kadeploy-User", "bob"), "bob")
	check(t, "trusted host, v4 in v6", a, request("[::ffff:127.0.0.1]:99", "X-Kadeploy-User", "bob"), "bob")
	check(t, "nobody's header", a, request(near), "")
	check(t, "other host", a, request(far, "X-Kadeploy-User", "bob"), "")
	check(t, "no address", a, request("@", "X-Kadeploy-User", "bob"), "")
	b := newAuth(t, Settings{ACL: true, HeadersPrefix: "X-Own-"})
	check(t, "own prefix, everybody", b, request(far, "X-Own-User", "bob"), "bob")
	check(t, "wrong prefix", b, request(far, "X-Kadeploy-User", "bob"), "")
}

func TestWhitelist(t *testing.T) {
	for _, bad := range []string{"10.0.0.0/99", "/(/", "10.0.0/8"} {
		if _, err := NewWhitelist([]string{bad}); err == nil {
			t.Errorf("NewWhitelist accepted %s", bad)
		}
	}
	for item, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.2": false, "127.0.0.9/8": true, "192.0.2.0/24": false, "localhost": true, "/^local/": true, "/^remote/": false,
	} {
		w, err := NewWhitelist([]string{item})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Has(t.Context(), near); got != want {
			t.Errorf("%s has %s = %v, want %v", item, near, got, want)
		}
	}
}

func TestBasic(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("bsecret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	text := "# users\nbcrypt:" + strings.Replace(string(hash), "$2a$", "$2y$", 1) +
		"\nmd5:$apr1$sAlt./09$Ie2dJy85ORI3bQcVq/gqO.\nlong:$apr1$sAlt./09$YXDM/b/JNS87m0pi4xtj4/\nempty:$apr1$sAlt./09$cQ5tW49cnUBPziCMNTyM20\nsha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nplain:secret\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAuth(t, Settings{Basic: true, BasicFile: file, BasicWhitelist: []string{"127.0.0.1"}})
	for _, test := range []struct {
		user, password string
		ok             bool
	}{
		{"bcrypt", "bsecret", true}, {"bcrypt", "secret", false}, {"md5", "secret", true}, {"md5", "secrets", false},
		{"long", "aVeryLongPasswordOfMoreThanSixteen", true}, {"empty", "", true}, {"empty", "x", false},
		{"sha", "password", true}, {"sha", "Password", false}, {"plain", "secret", false}, {"nobody", "AAAA", false}, {"", "", false},
	} {
		r := request(near, "X-Kadeploy-User", "root")
		r.SetBasicAuth(test.user, test.password)
		want := ""
		if test.ok {
			want = test.user
		}
		check(t, fmt.Sprintf("%s with %q", test.user, test.password), a, r, want)
	}
	r := request(far)
	r.SetBasicAuth("md5", "secret")
	check(t, "from a host that is not in the list", a, r, "")
	if len(missing) != 60 {
		t.Errorf("the hash for unknown users has %d characters, bcrypt's have 60", len(missing))
	}
	if cost, err := bcrypt.Cost([]byte(missing)); err != nil || cost < 10 {
		t.Errorf("the hash for unknown users: cost %d, %v", cost, err)
	}
	if _, err := New(Settings{Basic: true, BasicFile: file + "x"}, nil); err == nil {
		t.Error("New accepted a password file that does not exist")
	}
}

type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return authority{key, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}}}
}

// header is a certificate for a user, as a header carries it.
func (a authority) header(t *testing.T, user string, until time.Duration) string {
	t.Helper()
	cert := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: user}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(until)}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	der, err := x509.MarshalPKIXPublicKey(&ca.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pub")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	a := newAuth(t, Settings{Certificate: true, CAPublicKey: file})
	good := ca.header(t, "bob", time.Hour)
	check(t, "certificate alone", a, request(far, "X-Kadeploy-Certificate", good), "bob")
	check(t, "with its user", a, request(far, "X-Kadeploy-Certificate", good, "X-Kadeploy-User", "bob"), "bob")
	check(t, "with another user", a, request(far, "X-Kadeploy-Certificate", good, "X-Kadeploy-User", "bo"), "")
	check(t, "expired", a, request(far, "X-Kadeploy-Certificate", ca.header(t, "bob", -time.Minute)), "")
	check(t, "of another authority", a, request(far, "X-Kadeploy-Certificate", other.header(t, "bob", time.Hour)), "")
	check(t, "no base64", a, request(far, "X-Kadeploy-Certificate", "***"), "")
	check(t, "no certificate", a, request(far, "X-Kadeploy-Certificate", "aGVsbG8="), "")
	check(t, "user alone", a, request(far, "X-Kadeploy-User", "bob"), "")
}

// TestPeer asks a real server on a Unix socket: the kernel says who calls, and no
// header changes that.
func TestPeer(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	a := newAuth(t, Settings{})
	socket := filepath.Join(t.TempDir(), "socket")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ConnContext: ConnContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Authenticate(r)
		fmt.Fprintf(w, "%s %d %v", id.User, id.UID, err)
	})}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://local/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Kadeploy-User", "somebody-else")
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got strings.Builder
	if err := resp.Write(&got); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%s %d <nil>", me.Username, os.Getuid()); !strings.Contains(got.String(), want) {
		t.Errorf("over the socket:\n%s\nwant %s", got.String(), want)
	}
}

func TestUserNameUnknown(t *testing.T) {
	if name, err := userName(t.Context(), 4_000_000_000); err == nil {
		t.Errorf("user 4000000000 is called %q", name)
	}
}
