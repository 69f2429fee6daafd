package imagebench

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
)

// PeakMemory is the most memory that this process has had, in bytes (VmHWM of
// proc_pid_status(5)). What wait4(2) tells would count the memory of who forked it, too.
func PeakMemory() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/self/status")
}
