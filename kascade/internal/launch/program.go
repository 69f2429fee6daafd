package launch

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// RemoveVariable is the environment variable by which a node that was copied to its host
// learns the temporary directory that holds it and nothing else.
const RemoveVariable = "KASCADE_REMOVE"

// NodeCommand is the subcommand with which the copy is started.
const NodeCommand = "node"

// pack compresses the program that is copied; every host has gzip.
func pack(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the program that is copied to the nodes: %w", err)
	}
	defer f.Close()
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, 6)
	if _, err := io.Copy(w, f); err != nil {
		return nil, fmt.Errorf("read the program that is copied to the nodes: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// script is what a host's shell runs: it takes size bytes of its standard input for the
// program, compressed, and starts it. A directory is good if a file in it can be executed.
// It is one line without "!", for login shells of any kind, and holds nothing secret.
// The program removes itself as soon as it runs; the trap is for all that ends before.
func script(size int, dir string) string {
	dirs := `"${TMPDIR:-/tmp}" /var/tmp /dev/shm "$HOME"`
	if dir != "" {
		dirs = quote(dir)
	}
	s := `umask 077; d=; trap 'test -z "$d" || rm -rf "$d"' EXIT; trap 'exit 1' HUP INT TERM PIPE; ` +
		`for t in ` + dirs + `; do d=$(mktemp -d "$t/kascade.XXXXXXXXXX" 2>/dev/null) || { d=; continue; }; ` +
		`echo exit 0 2>/dev/null >"$d/try" && chmod 700 "$d/try" && "$d/try" </dev/null 2>/dev/null && break; rm -rf "$d"; d=; done; ` +
		`test -n "$d" || { echo "no place for the program: nothing can be written and executed in "` + dirs + ` >&2; exit 1; }; ` +
		fmt.Sprintf(`e=$({ head -c %d | gzip -dc >"$d/kascade"; } 2>&1) || { echo "the program could not be copied to $t:" $e >&2; exit 1; }; `, size) +
		`rm -f "$d/try"; chmod 700 "$d/kascade"; ` + RemoveVariable + `="$d" "$d/kascade" ` + NodeCommand
	return "exec /bin/sh -c " + quote(s)
}

// RemoveCopy removes the copy of the program that this process is, if the launcher made it.
func RemoveCopy() error {
	dir := os.Getenv(RemoveVariable)
	os.Unsetenv(RemoveVariable)
	if dir == "" {
		return nil
	}
	// Only these two names: whatever else is there, somebody else put there.
	if err := os.Remove(dir + "/kascade"); err != nil {
		return err
	}
	return os.Remove(dir)
}
