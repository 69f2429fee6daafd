package initsys

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ending is how the system is to end.
type ending int

const (
	restart ending = iota
	powerOff
)

// endingOf maps the signals by which reboot(8), poweroff(8) and halt(8) of busybox, and Ctrl-Alt-Del, reach the first process.
var endingOf = map[os.Signal]ending{
	unix.SIGTERM: restart,
	unix.SIGINT:  restart,
	unix.SIGUSR2: powerOff,
	unix.SIGUSR1: powerOff,
}

// graceful is how long processes have to end by themselves.
const graceful = 2 * time.Second

// awaitEnding waits for a request to end.
func awaitEnding() ending {
	requests := make(chan os.Signal, 1)
	for sig := range endingOf {
		signal.Notify(requests, sig)
	}
	return endingOf[<-requests]
}

// end ends processes, flushes, unmounts, and leaves. It returns only if the kernel refused.
func (s *system) end(how ending) error {
	// Whatever hangs, a dead disk most likely, the machine goes down.
	time.AfterFunc(20*time.Second, func() { _ = leave(how) })
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGCONT)
	ctx, cancel := context.WithTimeout(context.Background(), graceful)
	_ = waitFor(ctx, alone) // those left are killed
	cancel()
	_ = unix.Kill(-1, unix.SIGKILL)
	unix.Sync()
	for _, target := range diskMounts() {
		if err := unix.Unmount(target, 0); err != nil {
			s.logger.Warn("cannot unmount", "mount", target, "cause", err)
			_ = unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
	unix.Sync()
	return leave(how)
}

func leave(how ending) error {
	command := unix.LINUX_REBOOT_CMD_RESTART
	if how == powerOff {
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	if err := unix.Reboot(command); err != nil {
		return fmt.Errorf("reboot system call: %w", err)
	}
	return nil
}

// alone reports whether no other user process is left; kernel threads have an empty command line.
func alone() bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return true
	}
	for _, e := range entries {
		name := e.Name()
		if name == "1" || name[0] < '0' || name[0] > '9' {
			continue
		}
		if line, err := os.ReadFile("/proc/" + name + "/cmdline"); err == nil && len(line) > 0 {
			return false
		}
	}
	return true
}

// diskMounts lists the mount points of file systems that lie on disks, the last mounted first.
func diskMounts() []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var targets []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if target, disk := parseMount(lines.Text()); disk {
			targets = append([]string{target}, targets...)
		}
	}
	return targets
}

// parseMount reads a line of mountinfo (proc(5)): the mount point is the fifth field, the source the second after the hyphen.
func parseMount(line string) (target string, disk bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, rest := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 5 || len(rest) < 2 {
		return "", false
	}
	return unescape.Replace(fields[4]), strings.HasPrefix(rest[1], "/dev/")
}

// unescape undoes what the kernel does to blanks in /proc/self/mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
