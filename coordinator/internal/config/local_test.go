package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/tree"
)

func TestLocalOnly(t *testing.T) {
	doc, err := tree.Parse([]byte("security: {local_only: true}\nauthentication: {acl: {whitelist: [10.0.0.0/8]}}\ncache: {size: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{dir: t.TempDir()}
	s := l.server(&file{Document: doc, l: l, name: "server.conf"})
	if diff := cmp.Diff([]string{"127.0.0.0/8", "::1"}, s.Authentication.ACLWhitelist); diff != "" {
		t.Errorf("whitelist with local_only (-want +got):\n%s", diff)
	}
}
