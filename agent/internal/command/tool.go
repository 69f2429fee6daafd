package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// directories is where Tool looks, in this order.
var directories = [...]string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"}

// Path is the PATH given to every command.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Tool returns the absolute path of a tool of the mini-OS. Tools are never
// called by bare name: a busybox shell would prefer its own applets to $PATH.
func Tool(name string) (string, error) {
	return ToolIn("/", name)
}

// ToolIn is Tool for the system whose root directory is root; the path returned
// is as seen from inside that root. Links are not followed beyond the root,
// only seen to exist.
func ToolIn(root, name string) (string, error) {
	for _, dir := range directories {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(filepath.Join(root, path))
		if err != nil || info.IsDir() {
			continue
		}
		if info.Mode()&os.ModeSymlink != 0 || info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: not in %s of %s", name, strings.Join(directories[:], ", "), root)
}
