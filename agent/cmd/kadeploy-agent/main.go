// Command kadeploy-agent is the program of a node that is being deployed. Started
// by the kernel as the first process it brings the mini-OS up; it keeps a second
// copy of itself running, the worker, which does what the coordinator asks.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"kadeploy/agent/internal/initsys"
)

// version is set by the linker.
var version = "development"

const usage = `usage: kadeploy-agent [--version | --help | worker | chroot DIRECTORY COMMAND...]

Started as process 1 it brings up the mini-OS. It reads its orders from the
kernel's arguments: kadeploy.coordinator, kadeploy.node, kadeploy.token,
kadeploy.fingerprint, ETH_DEV, LINK_UP_TOUT, DISK_DEV, DISK_TOUT, NTP, DEBUG.

  worker   dial the coordinator named there and do what it asks, until killed
  chroot   run a program of the system that is mounted at DIRECTORY, with /dev,
           /proc, /sys, /run and the node's /etc/resolv.conf mounted meanwhile

Exit status: 0 success, 1 failure, 2 wrong use; of chroot, that of the program.
`

func main() {
	// With one, a reader of the network starves whoever writes to the disk.
	runtime.GOMAXPROCS(max(2, runtime.NumCPU()))
	if os.Getpid() == 1 {
		initsys.Run(initsys.Config{
			Worker:  initsys.Program{Path: executable(), Name: "kadeploy-agent", Args: []string{"worker"}},
			Version: version,
		})
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("kadeploy-agent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	showVersion := flags.Bool("version", false, "")
	showHelp := flags.Bool("help", false, "")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	switch {
	case *showVersion:
		fmt.Fprintln(stdout, "kadeploy-agent", version)
		return 0
	case *showHelp:
		fmt.Fprint(stdout, usage)
		return 0
	case flags.NArg() >= 3 && flags.Arg(0) == "chroot":
		status, err := enter(flags.Arg(1), flags.Args()[2:])
		if err != nil {
			fmt.Fprintln(stderr, "kadeploy-agent:", err)
		}
		return status
	case flags.NArg() == 1 && flags.Arg(0) == "worker":
		if err := work(); err != nil {
			fmt.Fprintln(stderr, "kadeploy-agent:", err)
			return 1
		}
		return 0
	}
	fmt.Fprint(stderr, usage)
	return 2
}

// executable is the worker's program: this one.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "/init"
	}
	return path
}
