package initsys

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Config is what the first process is given.
type Config struct {
	Worker  Program // kept running once the network is up; not run if the kernel arguments name no coordinator
	Version string
}

type system struct {
	args     Arguments
	logger   *slog.Logger
	children *children
}

// Run is the life of the first process. It never returns.
func Run(cfg Config) {
	// Nothing can be logged before /dev is there.
	mountErr := mountAll()
	setKernel("/proc/sys/kernel/printk_devkmsg", "on") // no limit on the lines of the agent
	setKernel("/proc/sys/kernel/panic", "10")          // a node that died comes back
	keepNotices()
	logger := OpenLog("kadeploy")
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		logger.Error("cannot read the kernel's arguments", "cause", err)
	}
	s := &system{args: ParseArguments(string(line)), logger: logger, children: newChildren(logger)}
	logger.Info("mini-OS starts", "agent", cfg.Version)
	if mountErr != nil {
		logger.Error("cannot mount everything", "cause", mountErr)
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	s.spawn("reaper", func() { s.children.reap(context.Background()) }) // to the very end
	s.spawn("boot", func() { s.boot(ctx, cfg) })
	for {
		how := awaitEnding()
		logger.Info("mini-OS ends")
		cancel(context.Canceled)
		logger.Error("cannot end", "cause", s.end(how))
	}
}

// boot brings the system up. Duties that do not need each other run side by side.
func (s *system) boot(ctx context.Context, cfg Config) {
	s.try("loopback", loopbackUp)
	s.try("early modules", func() error { return s.earlyModules(ctx) })
	devices := s.background("devices", func() error { return s.coldplug(ctx) })
	s.try("console", func() error { return s.offerShells(ctx) })
	if s.args.Debug != "" {
		s.background("DEBUG command", func() error { return s.children.run(ctx, "/bin/sh", "-c", s.args.Debug) })
	}
	s.try("network", func() error { return s.network(ctx) })
	clock := s.background("clock", func() error { return setClock(ctx, s.args.NTP) })
	if s.args.Coordinator != "" {
		s.spawn("worker", func() { s.children.keep(ctx, cfg.Worker) })
	} else {
		s.logger.Info("stand-alone: no kadeploy.coordinator= among the kernel arguments")
	}
	s.try("sshd", func() error { return s.startSSHD(ctx) })
	<-devices
	<-clock
	if s.args.Disk != "" && !s.try("disk", func() error { return requireDisk(ctx, s.args.Disk, s.args.DiskTimeout) }) {
		s.logger.Error("restarting the machine: its disk is missing")
		_ = unix.Kill(os.Getpid(), unix.SIGTERM)
		return
	}
	s.try("port 25300", func() error {
		listener, err := listenBeacon(ctx)
		if err != nil {
			return err
		}
		s.spawn("port 25300", func() { s.serveBeacon(ctx, listener) })
		return nil
	})
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // cannot fail with this clock
	s.logger.Info("mini-OS is ready", "seconds", fmt.Sprintf("%.1f", time.Duration(now.Nano()).Seconds()))
}

// try runs one duty and reports whether it succeeded; what failed is on the console, and the boot goes on without.
func (s *system) try(duty string, do func() error) bool {
	err := fmt.Errorf("it ended in a panic")
	s.guard(duty, func() { err = do() })
	if err != nil {
		s.logger.Error("failed", "duty", duty, "cause", err)
	}
	return err == nil
}

// background runs a duty beside others; the channel is closed when it ended.
func (s *system) background(duty string, do func() error) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.try(duty, do)
	}()
	return done
}

// spawn runs what goes on for long, again if it panics.
func (s *system) spawn(duty string, do func()) {
	go func() {
		for s.guard(duty, do) {
			time.Sleep(time.Second)
		}
	}()
}

// guard reports whether do panicked. A panic in the first process would be one of the kernel.
func (s *system) guard(duty string, do func()) (panicked bool) {
	defer func() {
		if cause := recover(); cause != nil {
			panicked = true
			s.logger.Error("panic", "duty", duty, "cause", cause)
			for _, line := range strings.Split(string(debug.Stack()), "\n") {
				s.logger.Error(line)
			}
		}
	}()
	do()
	return false
}

// keepNotices makes the consoles show notices, which the agent's lines are, even with the kernel argument "quiet".
func keepNotices() {
	levels, err := os.ReadFile("/proc/sys/kernel/printk")
	fields := strings.Fields(string(levels))
	if err == nil && len(fields) == 4 && len(fields[0]) == 1 && fields[0] < "6" {
		fields[0] = "6"
		setKernel("/proc/sys/kernel/printk", strings.Join(fields, " "))
	}
}

// setKernel writes a kernel parameter. A kernel without it runs all the same.
func setKernel(path, value string) { _ = os.WriteFile(path, []byte(value), 0o644) }
