package extfs

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/proto/image/imagetest"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts what was made: run it as root")
	}
}

func opener(path string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(path) }
}

// makeFS makes a file system of an archive.
func makeFS(t testing.TB, archive string, arguments ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs")
	stats, err := Make(t.Context(), Job{Archive: opener(archive), Arguments: arguments, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != stats.Bytes || stats.Entries == 0 {
		t.Errorf("%+v of a file of %d bytes, %v", stats, info.Size(), err)
	}
	return path
}

// mount shows a file system, read only, and takes it down at the end.
func mount(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	imagetest.Tool(t, "", "mount", "-o", "loop,ro", path, dir)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v %s", dir, err, out)
		}
	})
	return dir
}

// compare looks at every entry of a file system and of GNU tar's extraction.
func compare(t *testing.T, archive, fs string) {
	t.Helper()
	want := t.TempDir()
	imagetest.GNUExtract(t, archive, want)
	wantTree, gotTree := imagetest.ReadTree(t, want), imagetest.ReadTree(t, mount(t, fs))
	delete(gotTree, lostAndFound)
	if diff := cmp.Diff(wantTree, gotTree); diff != "" {
		t.Errorf("the file system differs from GNU tar's extraction (-GNU +ours):\n%s", diff)
	}
}

func TestLikeGNUTar(t *testing.T) {
	needRoot(t)
	src := t.TempDir()
	imagetest.TortureTree(t, src)
	for _, tt := range []struct {
		name string
		tar  []string
		mkfs string
	}{
		{"pax", []string{"--format=posix", "--acls", "--xattrs", "--xattrs-include=*"}, ""},
		{"pax sparse", []string{"--format=posix", "--acls", "--xattrs", "--xattrs-include=*", "-S"}, ""},
		{"old gnu sparse", []string{"--format=gnu", "-S"}, ""},
		{"small blocks", []string{"--format=posix", "--acls", "--xattrs", "--xattrs-include=*", "-S", "--exclude=./longlink"}, "-b 1024 -g 1024"},
		{"no sums", []string{"--format=posix", "--acls", "--xattrs", "--xattrs-include=*"}, "-O ^metadata_csum,^64bit"},
		{"sums of groups", []string{"--format=posix", "--acls", "--xattrs", "--xattrs-include=*"}, "-O ^metadata_csum,uninit_bg"},
		{"no group sums", []string{"--format=posix"}, "-O ^metadata_csum,^uninit_bg,^flex_bg,^resize_inode -J size=8"},
		{"csum seed", []string{"--format=posix"}, "-O metadata_csum_seed -m 0 -I 512"},
		{"many inodes", []string{"--format=posix", "--exclude=./longlink"}, "-i 65536 -b 2048"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive := filepath.Join(t.TempDir(), "a.tar")
			imagetest.Tool(t, "", "tar", append(tt.tar, "-cf", archive, "-C", src, ".")...)
			compare(t, archive, makeFS(t, archive, strings.Fields(tt.mkfs)...))
		})
	}
}

// What needs more than one block, level or group of everything.
const large = `
cd "$1"
mkdir many sub; for i in $(seq 6000); do echo $i > many/a-longer-name-for-$i; done
for i in $(seq 300); do mkdir sub/$i; done
echo > lines; for i in $(seq 7); do setfattr -n user.attribute$i -v "$(head -c 100 /dev/zero | tr '\0' v)" lines; done
head -c 150000000 /dev/urandom > big
`

func TestLarge(t *testing.T) {
	needRoot(t)
	src := t.TempDir()
	imagetest.Tool(t, large, "bash", "-e", "-s", src)
	holes, err := os.Create(filepath.Join(src, "holes"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(2000) {
		if _, err := holes.WriteAt([]byte("x"), i*20000); err != nil {
			t.Fatal(err)
		}
	}
	holes.Close()
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.Tool(t, "", "tar", "-cf", archive, "-C", src, ".", "-S", "--format=posix", "--xattrs", "--xattrs-include=*")
	compare(t, archive, makeFS(t, archive))
	compare(t, archive, makeFS(t, archive, "-b", "1024", "-g", "8192", "-i", "4096"))
}

// The order of entries, and links in their paths, mean what they mean for an extraction.
func TestOddArchives(t *testing.T) {
	needRoot(t)
	for name, script := range map[string]string{
		"through links":   `mkdir -p usr/lib d; ln -s usr/lib lib; ln -s lib usr/again; tar -cf $A lib usr; mkdir -p x/lib x/usr/again; cd x; echo 1 > lib/f; echo 2 > usr/again/g; tar -rf $A lib/f usr/again/g; cd ..; tar -rf $A --no-recursion usr/lib`,
		"last wins":       `echo 1 > f; echo other > g; ln g h; mkdir d; tar -cf $A f g h d; rm f; mkdir f; echo 3 > g; rmdir d; echo 4 > d; tar -rf $A f g; echo 5 > g; tar -rf $A d g`,
		"link over file":  `echo 1 > a; echo 2 > b; tar -cf $A a b; rm b; ln a b; tar -rf $A a b`,
		"directory twice": `mkdir d; tar -cf $A d; chmod 700 d; chown 5:6 d; touch -d 2001-01-01 d; tar -rf $A d`,
		"file over link":  `echo 1 > t; ln -s t l; tar -cf $A t l; rm l; echo 2 > l; tar -rf $A l`,
		"no root entry":   `echo 1 > f; tar -cf $A f`,
		"owner of root":   `chown 7:8 .; chmod 1771 .; touch -d '2002-02-02 02:02:02.25' .; tar -cf $A .`,
		"lost and found":  `mkdir lost+found; chmod 711 lost+found; touch -d 2003-03-03 lost+found; echo x > lost+found/f; touch -d 2003-03-03 lost+found; tar -cf $A lost+found`,
	} {
		t.Run(name, func(t *testing.T) {
			src, archive := t.TempDir(), filepath.Join(t.TempDir(), "a.tar")
			imagetest.Tool(t, "A="+archive+"\ncd \"$1\"\n"+script, "bash", "-e", "-s", src)
			want := t.TempDir()
			imagetest.GNUExtract(t, archive, want)
			wantTree, gotTree := imagetest.ReadTree(t, want), imagetest.ReadTree(t, mount(t, makeFS(t, archive)))
			if _, has := wantTree[lostAndFound]; !has {
				delete(gotTree, lostAndFound)
			}
			for _, tree := range []map[string]imagetest.Node{wantTree, gotTree} {
				if root := tree["."]; name != "owner of root" { // it is when it was made
					root.MTime = ""
					tree["."] = root
				}
			}
			if diff := cmp.Diff(wantTree, gotTree); diff != "" {
				t.Errorf("the file system differs from GNU tar's extraction (-GNU +ours):\n%s", diff)
			}
		})
	}
}

func TestUnsuitable(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.Tool(t, "", "tar", "-cf", archive, "-C", t.TempDir(), ".")
	for _, arguments := range []string{"-N 100", "-n", "-E offset=4096", "-O bigalloc", "-O inline_data", "/dev/sda", "-O ^extents,^64bit", "-b", "-q 5"} {
		path := filepath.Join(t.TempDir(), "fs")
		_, err := Make(t.Context(), Job{Archive: opener(archive), Arguments: strings.Fields(arguments), Path: path})
		if !errors.Is(err, ErrUnsuitable) {
			t.Errorf("Make with %q = %v, want ErrUnsuitable", arguments, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Make with %q left the file: %v", arguments, err)
		}
	}
	path := filepath.Join(t.TempDir(), "fs")
	if _, err := Make(t.Context(), Job{Archive: opener(archive), Path: path, MaxBytes: 1 << 20}); !errors.Is(err, ErrNoRoom) || errors.Is(err, ErrUnsuitable) {
		t.Errorf("Make with room for 1 MiB = %v, want ErrNoRoom", err)
	}
}
