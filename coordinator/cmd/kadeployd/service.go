package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"

	"github.com/spf13/cobra"
)

// originalName is what the daemon of the original is called; under it, this one
// writes its log files even in the foreground.
const originalName = "kadeploy3d"

// service are the original daemon's flags.
type service struct {
	pidFile                           string
	detach                            bool
	keepStdin, keepStdout, keepStderr bool
}

func (s *service) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&s.pidFile, "pidfile", "p", "", "write the number of the process to `FILE`")
	fs.BoolVarP(&s.detach, "detach", "d", false, "go on in the background as soon as users are served; logs go to files")
	fs.BoolVarP(&s.keepStdin, "keep-stdin", "I", false, "keep the standard input open in the background")
	fs.BoolVarP(&s.keepStdout, "keep-stdout", "O", false, "keep the standard output, instead of output.log")
	fs.BoolVarP(&s.keepStderr, "keep-stderr", "E", false, "keep the standard error output, instead of error.log")
	for name, short := range map[string]string{"no-dh-seeds": "S", "ruby-debug": ""} {
		fs.BoolP(name, short, false, "accepted for the sake of old scripts, without effect")
		fs.Lookup(name).Hidden = true
	}
}

// serve runs the daemon in the way that the flags say.
func (s *service) serve(ctx context.Context, o *options) error {
	waiting := startedBy()
	if s.detach && waiting == nil {
		return detach(s.keepStdin)
	}
	err := s.run(ctx, o, waiting)
	waiting.tell(err)
	return err
}

func (s *service) run(ctx context.Context, o *options, waiting *starter) (err error) {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	log := o.logger()
	var logs *logDir
	if s.detach || filepath.Base(os.Args[0]) == originalName || os.Getenv("KADEPLOY3_LOG_DIR") != "" {
		logs = &logDir{dir: logDirectory(), keepStdout: s.keepStdout, keepStderr: s.keepStderr}
		if err := logs.open(); err != nil {
			return err
		}
		log = logs.logger(o.level())
		defer onSignal(syscall.SIGHUP, func() {
			if err := logs.reload(runDirectory()); err != nil {
				log.Error("open the logs again", "error", err)
			}
		})()
	}
	defer onSignal(syscall.SIGUSR1, func() { pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) })()
	defer onSignal(syscall.SIGUSR2, func() { pprof.Lookup("heap").WriteTo(os.Stderr, 1) })()
	remove, err := writePID(s.pidFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	err = run(ctx, cfg, log, logs, func() { waiting.tell(nil) })
	if err != nil && logs != nil {
		log.Error("the coordinator cannot go on", slog.Any("error", err)) // nobody may see the standard error output
	}
	return err
}

// onSignal calls do at each signal, until it is stopped.
func onSignal(sig os.Signal, do func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, sig)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				do()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// versionText is what -v prints; $KADEPLOY3_VERSION, if set, alone.
func versionText() string {
	if own := os.Getenv("KADEPLOY3_VERSION"); own != "" {
		return own + "\n"
	}
	return fmt.Sprintf("Kadeploy version: %s\n", version)
}
