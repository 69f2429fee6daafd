package initsys

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// offerShells waits on each console for the Enter key, and gives whoever pressed it a root shell.
func (s *system) offerShells(ctx context.Context) error {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return fmt.Errorf("find the consoles: %w", err)
	}
	for _, name := range strings.Fields(string(active)) {
		if name == "tty0" { // stands for the virtual terminal that is shown
			name = "tty1"
		}
		s.spawn("shell on "+name, func() { s.offerShell(ctx, "/dev/"+name) })
	}
	return nil
}

func (s *system) offerShell(ctx context.Context, device string) {
	for ctx.Err() == nil {
		if err := awaitEnter(device); err != nil {
			s.logger.Warn("no shell on console", "device", device, "cause", err)
			return
		}
		_, ended, err := s.children.start(Program{Path: "/bin/bash", Name: "-bash", Terminal: device})
		if err != nil {
			s.logger.Warn("no shell on console", "device", device, "cause", err)
			return
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
		time.Sleep(restartMin)
	}
}

// awaitEnter blocks for ever where nobody is: it is not watched for the system's end, which does not wait for it.
func awaitEnter(device string) error {
	tty, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer tty.Close()
	_, err = bufio.NewReaderSize(tty, 16).ReadString('\n')
	return err
}
