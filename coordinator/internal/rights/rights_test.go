package rights

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type table map[string]map[string][]string

func (t table) Partitions(_ context.Context, user string) (map[string][]string, error) {
	if user == "broken" {
		return nil, errors.New("no database")
	}
	return t[user], nil
}

func TestRefused(t *testing.T) {
	held := table{
		"one":   {"n1": {"/dev/sda3"}},
		"parts": {"n1": {"*"}, "n2": {"/dev/sda2", "/dev/sda3"}},
		"nodes": {"*": {"/dev/sda3"}},
		"every": {"*": {"*"}},
	}
	for _, test := range []struct{ user, partition, refused string }{
		{"one", "/dev/sda3", "n2"},
		{"one", "/dev/sda", "n1 n2"},
		{"one", "", "n2"},
		{"parts", "/dev/sda5", "n2"},
		{"parts", "/dev/sda3", ""},
		{"nodes", "/dev/sda3", ""},
		{"nodes", "/dev/sda2", "n1 n2"},
		{"nodes", "", ""},
		{"nodes", "disk0/DEPLOY /dev/sda3", ""},
		{"parts", "disk0/DEPLOY DEPLOY", "n2"},
		{"every", "/dev/sdz", ""},
		{"nobody", "", "n1 n2"},
		{"root", "/dev/sda3", ""},
	} {
		got, err := New("db", []string{"root"}, held).Refused(t.Context(), test.user, []string{"n1", "n2"}, strings.Fields(test.partition)...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.refused, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s on %q (-want +got):\n%s", test.user, test.partition, diff)
		}
	}
	if got, err := New("dummy", nil, held).Refused(t.Context(), "nobody", []string{"n1"}, "x"); err != nil || got != nil {
		t.Errorf("dummy refuses %v, %v", got, err)
	}
	if _, err := New("db", nil, held).Refused(t.Context(), "broken", []string{"n1"}); err == nil {
		t.Error("without a database everything is allowed")
	}
}
