// Package kexec loads the kernel of a deployed system, so that the node can jump
// into it without its firmware. It does not jump: the caller first lets go of
// the disks. See kexec_load(2).
package kexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/inroot"
)

// Kernel is what is to be booted: files below Root, with the links in their
// names followed as inside of it.
type Kernel struct {
	Root        string
	Kernel      string
	Initrd      string // empty: none
	CommandLine string
}

// Files are where a kernel's files really are, below its root.
type Files struct{ Kernel, Initrd string }

// Find resolves the files' names, and refuses what is missing or empty.
func (k Kernel) Find() (Files, error) {
	var found Files
	var err error
	if k.Kernel == "" {
		return found, fault.Invalidf("no kernel is named")
	}
	if found.Kernel, err = k.find("kernel", k.Kernel); err != nil {
		return found, err
	}
	if k.Initrd != "" {
		found.Initrd, err = k.find("initrd", k.Initrd)
	}
	return found, err
}

func (k Kernel) find(what, path string) (string, error) {
	f, err := inroot.Open(k.Root, path, unix.O_RDONLY, 0)
	if err != nil {
		return "", fault.Preconditionf("the %s %s of the description is not in the image: %w", what, path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("examine the %s %s: %w", what, path, err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return "", fault.Preconditionf("the %s %s of the description is not a file, or is empty", what, path)
	}
	return inroot.Resolve(k.Root, path)
}

// Load hands the kernel to the running one, which keeps a copy: the files may be
// unmounted afterwards.
//
// The first way is kexec_load(2), by the kexec program and without checksums: of all
// that is loaded, up to the memory in which the kernel unpacks itself, the SHA-256 is
// taken when it is loaded and again by the code that runs between the kernels. It is
// meant for a kernel that waits for a crash, while who knows what writes to memory; here the
// jump follows at once. A slow machine needs seconds for each. Where that way
// fails, and on UEFI machines, whose Secure Boot may demand signed kernels, the kernel
// reads and checks the files itself: kexec_file_load(2).
func (k Kernel) Load(ctx context.Context) error {
	if _, err := k.Find(); err != nil {
		return err
	}
	kernel, err := inroot.Open(k.Root, k.Kernel, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer kernel.Close()
	var initrd *os.File
	if k.Initrd != "" {
		if initrd, err = inroot.Open(k.Root, k.Initrd, unix.O_RDONLY, 0); err != nil {
			return err
		}
		defer initrd.Close()
	}
	var unchecked error
	if !uefi() {
		if unchecked = k.loadUnchecked(ctx, kernel, initrd); unchecked == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if err := k.loadFiles(kernel, initrd); err != nil {
		err = fmt.Errorf("load the kernel %s: %w%s", k.Kernel, err, hint(err))
		return errors.Join(err, unchecked)
	}
	return nil
}

func uefi() bool {
	_, err := os.Stat("/sys/firmware/efi")
	return err == nil
}

// loadUnchecked has the kexec program load the files; initrd may be nil. It is given
// the open files, as their names mean others outside of the root.
func (k Kernel) loadUnchecked(ctx context.Context, kernel, initrd *os.File) error {
	tool, err := command.Tool("kexec")
	if err != nil {
		return err
	}
	name := func(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }
	args := []string{"--load", "--kexec-syscall", "--no-checks", "--command-line=" + k.CommandLine}
	if initrd != nil {
		args = append(args, "--initrd="+name(initrd))
	}
	if err := command.Run(ctx, command.Cmd{Path: tool, Args: append(args, name(kernel)), Timeout: toolLimit}); err != nil {
		return err
	}
	if !Loaded() {
		return errors.New("kexec ended well, but no kernel is loaded")
	}
	return nil
}

// toolLimit is what the kexec program may take; it takes a second on an emulated machine.
const toolLimit = 2 * time.Minute

func (k Kernel) loadFiles(kernel, initrd *os.File) error {
	flags, fd := unix.KEXEC_FILE_NO_INITRAMFS, -1
	if initrd != nil {
		flags, fd = 0, int(initrd.Fd())
	}
	return unix.KexecFileLoad(int(kernel.Fd()), fd, k.CommandLine, flags)
}

func hint(err error) string {
	switch err {
	case unix.EPERM:
		return " (kexec is forbidden on this node, by Secure Boot's lockdown perhaps: deploy with --no-kexec)"
	case unix.ENOSYS, unix.ENOEXEC:
		return " (this kernel cannot be loaded by that of the mini-OS: deploy with --no-kexec)"
	}
	return ""
}

// Loaded tells whether the running kernel has one to jump into.
func Loaded() bool {
	text, err := os.ReadFile("/sys/kernel/kexec_loaded")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// WithRoot puts root= first on a command line that has none.
func WithRoot(commandLine, root string) string {
	words := strings.Fields(commandLine)
	for _, w := range words {
		if strings.HasPrefix(w, "root=") {
			return strings.Join(words, " ")
		}
	}
	if root == "" {
		return strings.Join(words, " ")
	}
	return strings.Join(append([]string{"root=" + root}, words...), " ")
}
