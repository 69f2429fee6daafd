package rehearse

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Files that a machine needs at once: its session, two ports with a probe each, its port
// in the chain with the node before and the one after; and the coordinator for each of them.
const (
	filesOfMachine     = 8
	filesOfCoordinator = 2
	filesBesides       = 300
)

// Spread tells over how many processes so many machines must be spread, for what each
// may open; it raises the limit of this process, and so of those, if that is allowed.
func Spread(machines int) (processes int, err error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	want := uint64(machines*filesOfMachine + filesBesides)
	if limit.Max < want {
		raised := syscall.Rlimit{Cur: want, Max: want}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			return 1, nil
		}
	}
	if limit.Cur < min(want, limit.Max) {
		limit.Cur = min(want, limit.Max)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return 0, fmt.Errorf("raise the limit of open files to %d: %w", limit.Cur, err)
		}
	}
	own := machines*filesOfCoordinator + filesBesides
	if limit.Max < uint64(own) {
		return 0, fmt.Errorf("%d machines need %d open files, and the limit is %d: raise it (ulimit -n %d as root), or rehearse fewer", machines, own, limit.Max, own)
	}
	each := int(limit.Max-filesBesides) / filesOfMachine
	if each < 1 {
		return 0, errors.New("the limit of open files is too low for any machine")
	}
	return (machines + each - 1) / each, nil
}

func fill(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// limited are the micro-steps that have a time limit of their own in the site that is
// rehearsed when none is named: all in which a node may stop answering.
var limited = []string{
	"send_key_in_deploy_env", "create_partition_table", "format_deploy_part", "mount_deploy_part", "format_tmp_part", "format_swap_part",
	"check_kernel_files", "send_key", "install_bootloader", "sync", "umount_deploy_part", "kexec",
}
