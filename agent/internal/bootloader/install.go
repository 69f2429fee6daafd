package bootloader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kadeploy/agent/internal/command"
)

// efiDirectory is where systems expect the EFI system partition.
const efiDirectory = "/boot/efi"

// bootloaderID is the directory of the boot loader on the EFI system partition.
const bootloaderID = "kadeploy"

// target is grub's name of the platform.
func (in Install) target() string {
	if in.UEFI {
		return "x86_64-efi"
	}
	return "i386-pc"
}

// install writes grub to the disk; directory is where that grub looks for its configuration.
func (in Install) install(ctx context.Context, c choices) (directory string, err error) {
	if c.ownInstall {
		for _, f := range families {
			if path, err := command.ToolIn(in.Root, f.install); err == nil && in.has(path) && in.hasPlatform(in.Root) {
				in.say("installing grub with the system's own %s", f.install)
				return f.directory, in.runInstall(ctx, f, in.Root, path)
			}
		}
		in.say("the system has no grub for %s: installing that of the mini-OS", in.target())
	} else {
		in.say("installing the grub of the mini-OS")
	}
	f := families[0]
	path, err := command.Tool(f.install)
	if err != nil {
		return "", fmt.Errorf("install grub: neither the image nor the mini-OS has it: %w", err)
	}
	if !in.hasPlatform("/") {
		return "", fmt.Errorf("install grub: neither the image nor the mini-OS has /usr/lib/grub/%s", in.target())
	}
	return f.directory, in.runInstall(ctx, f, "/", path)
}

// has tells whether a program of the system is really there.
func (in Install) has(path string) bool {
	_, err := os.Stat(filepath.Join(in.Root, path))
	return err == nil
}

func (in Install) hasPlatform(root string) bool {
	_, err := os.Stat(filepath.Join(root, "usr/lib/grub", in.target()))
	return err == nil
}

// runInstall runs grub-install inside of root: the system's, or "/" for the mini-OS.
func (in Install) runInstall(ctx context.Context, f family, root, path string) error {
	prefix := ""
	if root == "/" {
		prefix = in.Root
	}
	args := []string{"--target=" + in.target(), "--boot-directory=" + filepath.Join(prefix, "/boot")}
	if !in.UEFI {
		args = append(args, "--recheck", in.Disk)
		err := in.run(ctx, root, path, args...)
		if exit, ok := errors.AsType[*command.ExitError](err); ok && strings.Contains(exit.Tail, "blocklists") {
			// A table of the user's own may leave grub no room beside the file systems.
			in.say("the disk has no BIOS boot partition (type bios): grub's blocks are read where they lie in the file system")
			err = in.run(ctx, root, path, append(args, "--force")...)
		}
		return err
	}
	if f.install == "grub2-install" {
		args = append(args, "--force") // Red Hat's refuses UEFI otherwise, for the sake of Secure Boot
	}
	// The firmware's list of what it boots is dealt with apart: grub-install would put itself first.
	args = append(args, "--efi-directory="+filepath.Join(prefix, efiDirectory), "--bootloader-id="+bootloaderID, "--no-nvram")
	if err := in.run(ctx, root, path, args...); err != nil {
		return err
	}
	// The path that every firmware tries, whatever its list says.
	if err := in.run(ctx, root, path, append(args, "--removable")...); err != nil {
		return err
	}
	if err := in.register(ctx); err != nil {
		in.say("the firmware's list of what it boots is left as it is: %v", err)
	}
	return nil
}

// run runs one of grub's programs inside of root.
func (in Install) run(ctx context.Context, root, path string, args ...string) error {
	if undo, err := (Install{Root: root}).layShortcuts(); err != nil {
		in.say("grub will be slow: %v", err)
	} else {
		defer func() {
			if err := undo(); err != nil {
				in.say("%v", err) // it is in memory, and goes with this boot
			}
		}()
	}
	return command.Run(ctx, command.Cmd{
		Path: path, Args: args, Root: root, Env: []string{grubPath}, Stdout: in.Output, Stderr: in.Output, Timeout: limit,
	})
}
