package bootloader

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/inroot"
)

// For each partition that it comes across grub asks where it begins, and for that it
// starts `udevadm info --query path --name DEVICE`: nearly a hundred times in one
// run of grub-mkconfig, which probes the root file system again and again. Udevadm
// is a program with a large library, whose start is most of its work. So grub finds
// this script before it, which looks at the same link in /sys as udevadm would;
// whatever else is asked goes to the real one.
const (
	shortcuts = "/run/kadeploy-grub"
	udevadm   = `#!/bin/sh
if [ $# = 5 ] && [ "$1 $2 $3 $4" = 'info --query path --name' ]; then
	case $5 in
	/dev/*/*) ;;
	/dev/*)
		if cd -P "/sys/class/block/${5#/dev/}" 2>/dev/null; then
			echo "${PWD#/sys}"
			exit
		fi
		;;
	esac
fi
PATH=${PATH#` + shortcuts + `:}
exec udevadm "$@"
`
)

// grubPath is the search path of grub's programs.
const grubPath = "PATH=" + shortcuts + ":" + command.Path

// layShortcuts puts the script into the /run of a system whose programs will run,
// and returns what takes it away.
func (in Install) layShortcuts() (undo func() error, err error) {
	if err := in.putMode(shortcuts, "udevadm", udevadm, 0o755); err != nil {
		return nil, err
	}
	return func() error {
		run, err := inroot.Open(in.Root, "/run", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer run.Close()
		name := path.Base(shortcuts)
		err = errors.Join(unix.Unlinkat(int(run.Fd()), name+"/udevadm", 0), unix.Unlinkat(int(run.Fd()), name, unix.AT_REMOVEDIR))
		if err != nil {
			return fmt.Errorf("remove %s: %w", shortcuts, err)
		}
		return nil
	}, nil
}
