package imagebench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is one run of a contender.
type sample struct {
	elapsed, cpu time.Duration
	memory       int64 // bytes, at most; 0: not known
}

// run runs a shell command whose $1 is the input and $2 the target.
func run(ctx context.Context, command, input, target string) (sample, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command, "sh", input, target)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &before)
	begin := time.Now()
	err := cmd.Run()
	s := sample{elapsed: time.Since(begin)}
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(stderr.String()))
	}
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &after)
	s.cpu = time.Duration(after.Utime.Nano()-before.Utime.Nano()) + time.Duration(after.Stime.Nano()-before.Stime.Nano())
	if text := strings.TrimSpace(stdout.String()); text != "" { // ours tell
		s.memory, err = strconv.ParseInt(text, 10, 64)
	}
	return s, err
}
