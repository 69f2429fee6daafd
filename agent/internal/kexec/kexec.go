// Package kexec loads the kernel of a deployed system, so that the node can jump
// into it without its firmware. It does not jump: the caller first lets go of
// the disks. See kexec_file_load(2).
package kexec

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

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
func (k Kernel) Load() error {
	if _, err := k.Find(); err != nil {
		return err
	}
	kernel, err := inroot.Open(k.Root, k.Kernel, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer kernel.Close()
	flags, initrd := unix.KEXEC_FILE_NO_INITRAMFS, -1
	if k.Initrd != "" {
		f, err := inroot.Open(k.Root, k.Initrd, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		flags, initrd = 0, int(f.Fd())
	}
	if err := unix.KexecFileLoad(int(kernel.Fd()), initrd, k.CommandLine, flags); err != nil {
		return fmt.Errorf("load the kernel %s: %w%s", k.Kernel, err, hint(err))
	}
	return nil
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
