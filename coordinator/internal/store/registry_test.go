package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/env"
)

var (
	root  = Caller{User: "root", Admin: true}
	alice = Caller{User: "alice"}
	bob   = Caller{User: "bob"}
)

// description is a valid one.
func description(name string, version int, visibility string) env.Description {
	return env.Description{
		Name: name, Version: version, Visibility: visibility, OS: "linux",
		Image:      env.Image{File: "server:///x.tgz", Kind: "tar", Compression: "gzip"},
		Boot:       env.Boot{Kernel: "/vmlinuz"},
		Filesystem: "ext4",
	}
}

func add(t *testing.T, r *Registry, who Caller, d env.Description) Environment {
	t.Helper()
	e, err := r.AddEnvironment(t.Context(), who, "", d)
	if err != nil {
		t.Fatalf("add %s for %s: %v", d.Name, who.User, err)
	}
	return e
}

// names lists what a caller sees, as owner/name:version.
func names(t *testing.T, r *Registry, who Caller, q EnvironmentQuery) string {
	t.Helper()
	found, err := r.Environments(t.Context(), who, q)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range found {
		all = append(all, fmt.Sprintf("%s/%s:%d", e.Owner, e.Name, e.Version))
	}
	return strings.Join(all, " ")
}

func wantCode(t *testing.T, what string, err error, want apperr.Code) {
	t.Helper()
	if code, ok := apperr.Of(err); !ok || code != want {
		t.Errorf("%s: %v, want code %v", what, err, want)
	}
}

func wantStatus(t *testing.T, what string, err error, want int) {
	t.Helper()
	if apperr.StatusOf(err) != want {
		t.Errorf("%s: %v, want status %d", what, err, want)
	}
}

func TestNothingIsLost(t *testing.T) {
	r := open(t).Registry([]string{"root"})
	yes := true
	d := env.Description{
		Name: "100%_weird, |name| \"q\" 'é'", Version: 2021092316, Arch: "aarch64", Alias: "a|b,c", Description: "two\nlines",
		Author: "O'Neil; DROP TABLE environments", Visibility: "public", Destructive: true, OS: "xen",
		Image:        env.Image{File: "server:///a,b|c", Kind: "tar", Compression: "zstd", Checksum: "sum|1"},
		Preinstall:   &env.Archive{Archive: "server:///pre", Compression: "gzip", Script: "run, now", Checksum: "sum2"},
		Postinstalls: []env.Archive{{Archive: "p|1", Compression: "xz", Script: "post --net debian,traditional-names", Checksum: "3"}, {Archive: "p,2", Compression: "gzip", Script: "none"}},
		Boot:         env.Boot{Kernel: "/k", Initrd: "/i", KernelParams: "a=\"b c\"", Hypervisor: "/x", HypervisorParams: "h", BlockDevice: "disk0", Partition: 2},
		Filesystem:   "ext4", PartitionType: 131, Multipart: true,
		Options:         env.Options{Partitions: []env.Partition{{ID: 0, Device: "/dev/sda1"}}, Kexec: &yes},
		CustomVariables: map[string]string{"A": "b|c"},
	}
	added := add(t, r, root, d)
	found, err := r.Environments(t.Context(), bob, EnvironmentQuery{Name: d.Name, Owner: "root"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Environment{added}, found); diff != "" {
		t.Errorf("as stored (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(d, found[0].Description); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	updated, err := r.UpdateEnvironment(t.Context(), root, added.ID, func(d *env.Description) error {
		d.Postinstalls = d.Postinstalls[:1]
		d.Preinstall = nil
		d.Image.Checksum = "new"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err = r.Environments(t.Context(), root, EnvironmentQuery{Name: d.Name})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Environment{updated}, found); diff != "" {
		t.Errorf("after an update (-want +got):\n%s", diff)
	}
}

// TestVisibility is the table of contract 3.
func TestVisibility(t *testing.T) {
	r := open(t).Registry([]string{"root"})
	add(t, r, root, description("pub", 1, "public"))
	add(t, r, root, description("hid", 1, "private"))
	for _, v := range []string{"private", "shared"} {
		add(t, r, alice, description("a-"+v, 1, v))
		add(t, r, bob, description("b-"+v, 1, v))
	}
	for _, test := range []struct {
		who   Caller
		owner string
		want  string
	}{
		{alice, "", "root/pub:1 alice/a-private:1 alice/a-shared:1"},
		{alice, "alice", "alice/a-private:1 alice/a-shared:1"},
		{alice, "bob", "bob/b-shared:1"},
		{alice, "root", "root/pub:1"},
		{alice, "nobody", ""},
		{root, "", "root/pub:1 alice/a-private:1 bob/b-private:1 root/hid:1 alice/a-shared:1 bob/b-shared:1"},
		{root, "root", "root/pub:1 root/hid:1"},
		{root, "bob", "bob/b-private:1 bob/b-shared:1"},
	} {
		if got := names(t, r, test.who, EnvironmentQuery{Owner: test.owner}); got != test.want {
			t.Errorf("%s lists %q:\ngot  %s\nwant %s", test.who.User, test.owner, got, test.want)
		}
	}
}

func TestQueries(t *testing.T) {
	r := open(t).Registry([]string{"root"})
	for _, d := range []env.Description{
		description("deb_1", 9, "private"), description("deb_1", 10, "private"), description("debx1", 1, "private"),
		description("DEB_1", 1, "private"), description("a[b]*?", 1, "private"),
	} {
		add(t, r, alice, d)
	}
	aliased := description("fed", 1, "private")
	aliased.Alias, aliased.Arch = "fed-x64", "x86_64"
	add(t, r, alice, aliased)
	for _, test := range []struct {
		q    EnvironmentQuery
		want string
	}{
		{EnvironmentQuery{Name: "deb_1"}, "alice/deb_1:10 alice/deb_1:9"},
		{EnvironmentQuery{Name: "deb_1", Last: true}, "alice/deb_1:10"},
		{EnvironmentQuery{Name: "deb_1", Version: 9}, "alice/deb_1:9"},
		{EnvironmentQuery{Name: "deb%", Pattern: true, Last: true}, "alice/deb_1:10 alice/debx1:1"},
		{EnvironmentQuery{Name: "%_1", Pattern: true, Last: true}, "alice/DEB_1:1 alice/deb_1:10"},
		{EnvironmentQuery{Name: "deb%"}, ""},
		{EnvironmentQuery{Name: "a[b]%", Pattern: true}, "alice/a[b]*?:1"},
		{EnvironmentQuery{Name: "a[b]*?", Pattern: true}, "alice/a[b]*?:1"},
		{EnvironmentQuery{Name: "*", Pattern: true}, ""},
		{EnvironmentQuery{Name: "fed-x64"}, "alice/fed:1"},
		{EnvironmentQuery{Name: "fed-%", Pattern: true, Arch: "x86_64"}, "alice/fed:1"},
		{EnvironmentQuery{Name: "fed", Arch: "aarch64"}, ""},
		{EnvironmentQuery{Name: "' OR 1=1 --"}, ""},
	} {
		if got := names(t, r, alice, test.q); got != test.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", test.q, got, test.want)
		}
	}
}

// A name is meant before an alias of the same text, whoever owns either.
func TestNameBeforeAlias(t *testing.T) {
	r := open(t).Registry([]string{"root"})
	add(t, r, root, description("std", 7, "public"))
	aliased := description("mine", 1, "shared")
	aliased.Alias = "std"
	add(t, r, alice, aliased)
	hidden := description("fed", 1, "private")
	add(t, r, bob, hidden)
	aliased = description("mine", 2, "private")
	aliased.Alias = "fed"
	add(t, r, alice, aliased)
	for _, test := range []struct {
		who  Caller
		q    EnvironmentQuery
		want string
	}{
		{alice, EnvironmentQuery{Name: "std"}, "root/std:7"},
		{alice, EnvironmentQuery{Name: "std", Version: 1}, ""}, // not version 1 of something else
		{alice, EnvironmentQuery{Name: "std", Owner: "alice"}, "alice/mine:1"},
		{bob, EnvironmentQuery{Name: "std", Owner: "alice"}, "alice/mine:1"},
		{alice, EnvironmentQuery{Name: "fed"}, "alice/mine:2"}, // what she may not see hides nothing
		{root, EnvironmentQuery{Name: "fed"}, "bob/fed:1"},
		{alice, EnvironmentQuery{Name: "std", Pattern: true}, "root/std:7 alice/mine:1"},
	} {
		if got := names(t, r, test.who, test.q); got != test.want {
			t.Errorf("%s asks for %+v:\ngot  %s\nwant %s", test.who.User, test.q, got, test.want)
		}
	}
}

func TestOwnership(t *testing.T) {
	r := open(t).Registry([]string{"root", "deploy"})
	mine := add(t, r, alice, description("mine", 1, "shared"))
	_, err := r.AddEnvironment(t.Context(), alice, "bob", description("x", 1, "private"))
	wantStatus(t, "add for somebody else", err, 403)
	_, err = r.AddEnvironment(t.Context(), alice, "", description("x", 1, "public"))
	wantStatus(t, "a public one of a user", err, 403)
	_, err = r.AddEnvironment(t.Context(), root, "alice", description("x", 1, "public"))
	wantStatus(t, "a public one for a user", err, 403)
	if _, err := r.AddEnvironment(t.Context(), root, "deploy", description("x", 1, "public")); err != nil {
		t.Errorf("a public one for another administrator: %v", err)
	}
	publish := func(d *env.Description) error { d.Visibility = "public"; return nil }
	hide := func(d *env.Description) error { d.Visibility = "private"; return nil }
	_, err = r.UpdateEnvironment(t.Context(), bob, mine.ID, hide)
	wantStatus(t, "change somebody else's", err, 403)
	_, err = r.UpdateEnvironment(t.Context(), alice, mine.ID, publish)
	wantStatus(t, "publish as a user", err, 403)
	_, err = r.UpdateEnvironment(t.Context(), alice, mine.ID, func(d *env.Description) error { d.OS = ""; return nil })
	wantCode(t, "an invalid change", err, apperr.InvalidEnvironment)
	if _, err = r.UpdateEnvironment(t.Context(), root, mine.ID, hide); err != nil {
		t.Errorf("an administrator's change: %v", err)
	}
	if got := names(t, r, bob, EnvironmentQuery{Owner: "alice"}); got != "" {
		t.Errorf("bob still sees %s", got)
	}
	wantStatus(t, "remove somebody else's", r.RemoveEnvironments(t.Context(), bob, []int64{mine.ID}), 403)
	second := add(t, r, alice, description("mine", 2, "private"))
	if err := r.RemoveEnvironments(t.Context(), alice, []int64{mine.ID, second.ID}); err != nil {
		t.Errorf("remove one's own: %v", err)
	}
	if got := names(t, r, alice, EnvironmentQuery{Owner: "alice"}); got != "" {
		t.Errorf("after removal there is %s", got)
	}
	_, err = r.UpdateEnvironment(t.Context(), alice, mine.ID, hide)
	wantStatus(t, "change what is gone", err, 404)
	if n := count(t, r.store, "archives"); n != 0 {
		t.Errorf("%d archives are left of removed environments", n)
	}
}

// TestConcurrentAdds has 200 callers add one identity: one of them wins.
func TestConcurrentAdds(t *testing.T) {
	r := open(t).Registry(nil)
	const callers = 200
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { _, errs[i] = r.AddEnvironment(t.Context(), alice, "", description("same", 1, "private")) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantCode(t, "an add that lost", err, apperr.ExistingElement)
		}
	}
	if won != 1 {
		t.Errorf("%d adds of the same environment succeeded", won)
	}
	other := description("same", 1, "private")
	other.Arch = "aarch64"
	add(t, r, alice, other)
	add(t, r, bob, description("same", 1, "private"))
}

// TestUpdateSeesOthers has a change that is overtaken: it must be made again.
func TestUpdateSeesOthers(t *testing.T) {
	r := open(t).Registry(nil)
	e := add(t, r, alice, description("x", 1, "private"))
	calls := 0
	got, err := r.UpdateEnvironment(t.Context(), alice, e.ID, func(d *env.Description) error {
		if calls++; calls == 1 {
			if _, err := r.UpdateEnvironment(t.Context(), alice, e.ID, func(d *env.Description) error { d.Author = "second"; return nil }); err != nil {
				t.Error(err)
			}
		}
		d.Destructive = true
		return nil
	})
	if err != nil || calls != 2 || !got.Destructive || got.Author != "second" {
		t.Errorf("after %d calls: destructive %v, author %q, %v; want both changes after 2", calls, got.Destructive, got.Author, err)
	}
	boom := errors.New("boom")
	if _, err := r.UpdateEnvironment(t.Context(), alice, e.ID, func(d *env.Description) error { d.Author = "third"; return boom }); !errors.Is(err, boom) {
		t.Errorf("a change that fails: %v, want %v", err, boom)
	}
	found, err := r.Environments(t.Context(), alice, EnvironmentQuery{})
	if err != nil || found[0].Author != "second" {
		t.Errorf("after a change that failed the author is %q, %v", found[0].Author, err)
	}
}

// TestManyEnvironments keeps the list of a large registry fast enough to wait for.
func TestManyEnvironments(t *testing.T) {
	s := open(t)
	r := s.Registry(nil)
	if _, err := s.writer.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
		INSERT INTO environments (user, name, version, visibility, os, image_file, image_kind, image_compression, boot, created)
		SELECT 'alice', 'env-' || (i / 10), i % 10, 'private', 'linux', 'x', 'dd', 'gzip', '{}', 0 FROM n`); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	found, err := r.Environments(t.Context(), alice, EnvironmentQuery{Last: true})
	if err != nil || len(found) != 1001 {
		t.Errorf("%d environments, %v, want 1001", len(found), err)
	}
	t.Logf("listed in %v", time.Since(begin))
}
