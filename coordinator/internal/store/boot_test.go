package store

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kadeploy/coordinator/internal/profile"
)

func bootStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestBootProfile(t *testing.T) {
	s := bootStore(t)
	check := func(want profile.Profile) {
		t.Helper()
		got, err := s.BootProfile(t.Context(), "n1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("BootProfile (-want +got):\n%s", diff)
		}
	}
	check(profile.Profile{Kind: profile.Local})
	for _, p := range []profile.Profile{
		{Kind: profile.MiniOS, Kernel: "vmlinuz", Initrd: "initrd.img", Params: "console=ttyS0"},
		{Kind: profile.Local, Partition: 3, System: profile.System{Device: "/dev/sdb"}},
	} {
		if err := s.SetBootProfile(t.Context(), "n1", "D-1", p); err != nil {
			t.Fatal(err)
		}
		check(p)
	}
}

func TestTokensAreSpentOnce(t *testing.T) {
	s := bootStore(t)
	ctx := t.Context()
	if _, err := s.Mint(ctx, "n1"); err == nil {
		t.Error("Mint gave a token to a node that nobody deploys")
	}
	if err := s.Admit(ctx, "n1", "00", "key"); err == nil {
		t.Error("Admit accepted a node without a token")
	}
	if err := s.SetBootProfile(ctx, "n1", "D-1", profile.Profile{Kind: profile.MiniOS}); err != nil {
		t.Fatal(err)
	}
	first := mint(ctx, t, s)
	second := mint(ctx, t, s)
	for _, c := range []struct{ name, token, key, want string }{
		{"an older token", first, "key1", "wrong token"},
		{"no token", "", "key1", "wrong token"},
		{"the token", second, "key1", ""},
		{"the same key again, without a token", "", "key1", ""},
		{"the token again, another key", second, "key2", "used by another agent"},
	} {
		err := s.Admit(ctx, "n1", c.token, c.key)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Admit = %v, want %q", c.name, err, c.want)
		}
	}
	mint(ctx, t, s) // the node boots again
	if err := s.Admit(ctx, "n1", "", "key1"); err == nil {
		t.Error("a key outlived the boot that it was bound in")
	}
}

func mint(ctx context.Context, t *testing.T, s *Store) string {
	t.Helper()
	token, err := s.Mint(ctx, "n1")
	if err != nil {
		t.Fatal(err)
	}
	if len(token) != 2*tokenBytes {
		t.Fatalf("token %q has %d digits", token, len(token))
	}
	return token
}
