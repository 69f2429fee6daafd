package vlan

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kadeploy/coordinator/internal/apperr"
)

func names(table map[string]string) func(context.Context, string) ([]netip.Addr, error) {
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		a, ok := table[host]
		if !ok {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr(a)}, nil
	}
}

func TestAddressesAreThoseOfTheVLANsHostNames(t *testing.T) {
	s := New(Config{Suffix: "-kavlan-VLAN_ID", Command: "kavlan", Lookup: names(map[string]string{
		"node-1-kavlan-4.site.org": "10.4.0.1", "node-2-kavlan-4.site.org": "10.4.0.2",
	})})
	got, err := s.Addresses(t.Context(), []string{"node-1.site.org", "node-2.site.org"}, "4")
	want := map[string]netip.Addr{"node-1.site.org": netip.MustParseAddr("10.4.0.1"), "node-2.site.org": netip.MustParseAddr("10.4.0.2")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Errorf("Addresses: %v\n%s", err, diff)
	}
}

func TestWhatIsNoVLANIsCode9(t *testing.T) {
	on := Config{Suffix: "-v-VLAN_ID", Command: "true", Lookup: names(nil)}
	for _, c := range []struct {
		name, id string
		cfg      Config
	}{
		{"no VLANs", "4", Config{}},
		{"no suffix", "4", Config{Command: "true"}},
		{"no command", "4", Config{Suffix: "-v-VLAN_ID"}},
		{"unknown host", "4", on},
		{"shell", "4;id", on},
		{"nothing", "", on},
		{"option", "-4", on},
	} {
		_, err := New(c.cfg).Addresses(t.Context(), []string{"n.x"}, c.id)
		if code, _ := apperr.Of(err); code != apperr.InvalidVLAN {
			t.Errorf("%s: %v, want an error with code 9", c.name, err)
		}
	}
}

func TestTheCommandGetsNodesVLANAndUser(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "set")
	// Every argument on a line of its own: what a command really gets.
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" > "+dir+"/got\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := New(Config{Suffix: "-v", Command: script + " NODES -i VLAN_ID -u USER"})
	for _, c := range []struct{ id, user, want string }{
		{"4", "alice", "-m\nn-1.x\n-m\nn-2.x\n-i\n4\n-u\nalice\n"},
		{Default, "o'neil $(id)", "-m\nn-1.x\n-m\nn-2.x\n-i\nDEFAULT\n-u\no'neil $(id)\n"},
	} {
		line, _, err := s.Move(t.Context(), []string{"n-1.x", "n-2.x"}, c.id, c.user)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "got"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func TestAFailedCommandSaysWhy(t *testing.T) {
	s := New(Config{Command: "echo no such vlan >&2; exit 3"})
	_, output, err := s.Move(t.Context(), []string{"n"}, "4", "u")
	if err == nil || err.Error() != "exit status 3: no such vlan" || output != "no such vlan\n" {
		t.Errorf("Move = %q, %v", output, err)
	}
}

func TestWhereFollowsTheLastMove(t *testing.T) {
	s := New(Config{Suffix: "-v-VLAN_ID", Command: "true", Lookup: names(map[string]string{"n-v-4.x": "10.4.0.1"})})
	if _, err := s.Addresses(t.Context(), []string{"n.x"}, "4"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id    string
		there bool
	}{{"4", true}, {Default, false}, {"4", true}} {
		if _, _, err := s.Move(t.Context(), []string{"n.x"}, c.id, "u"); err != nil {
			t.Fatal(err)
		}
		if a, ok := s.Where("n.x"); ok != c.there || ok && a.String() != "10.4.0.1" {
			t.Errorf("after the move to %s: Where = %v, %v", c.id, a, ok)
		}
	}
}
