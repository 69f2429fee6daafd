package image

import (
	"slices"
	"strings"
)

// directories that a shell searches for commands.
var commandDirectories = [...]string{"/usr/sbin", "/usr/bin"}

// LinkApplets links to the busybox binary each applet that no other program of the tree provides.
//
// Debian's busybox runs its own applets in preference to what the search path
// has, so that applets which run other programs (its shells, env, xargs, chroot...)
// would reach busybox's mke2fs instead of the real one: the manifest leaves them out.
func (t *Tree) LinkApplets(busybox string, applets, without []string) {
	for _, applet := range applets {
		if slices.Contains(without, applet) {
			continue
		}
		taken := slices.ContainsFunc(commandDirectories[:], func(dir string) bool { return t.Has(dir + "/" + applet) })
		if !taken && !strings.Contains(applet, "/") {
			t.Symlink("/usr/bin/"+applet, busybox)
		}
	}
}
