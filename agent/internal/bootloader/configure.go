package bootloader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/inroot"
)

// configure writes grub.cfg, and checks that it boots the kernel of the
// description. directory is that of the grub that was installed; empty: none was.
func (in Install) configure(ctx context.Context, c choices, directory string) error {
	switch {
	case in.Hypervisor != "":
		// grub-mkconfig puts the bare kernel before the hypervisor.
		in.say("a plain grub.cfg is written, which starts the hypervisor")
		return in.writeStatic(c, directory)
	case !c.ownConfig:
		in.say("a plain grub.cfg is written")
		return in.writeStatic(c, directory)
	}
	for _, f := range families {
		if tool, err := command.ToolIn(in.Root, f.mkconfig); err == nil && in.has(tool) {
			if directory == "" {
				directory = f.directory
			}
			return in.generate(ctx, c, tool, directory)
		}
	}
	in.say("the system has no grub-mkconfig: a plain grub.cfg is written")
	return in.writeStatic(c, directory)
}

func (in Install) generate(ctx context.Context, c choices, tool, directory string) error {
	if err := in.writeDefaults(c); err != nil {
		return err
	}
	if err := in.makeDirectory(directory); err != nil {
		return fmt.Errorf("configure grub: %w", err)
	}
	config := directory + "/grub.cfg"
	if err := in.run(ctx, in.Root, tool, "-o", config); err != nil {
		return err
	}
	f, err := inroot.Open(in.Root, config, unix.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("read grub's configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return fmt.Errorf("read grub's configuration: %w", err)
	}
	return in.checkKernel(string(text))
}

// maxConfig bounds what is read of a grub.cfg, bytes.
const maxConfig = 4 << 20

// defaultsFile is sourced by Debian's grub-mkconfig, so that what is chosen here
// holds also when the deployed system runs update-grub later.
const defaultsFile = "/etc/default/grub.d/kadeploy.cfg"

func (in Install) writeDefaults(c choices) error {
	text := in.defaults(c)
	if err := in.put(path.Dir(defaultsFile), path.Base(defaultsFile), text); err != nil {
		return err
	}
	// Other distributions read one file only.
	main, err := os.ReadFile(filepath.Join(in.Root, "/etc/default/grub"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && in.sourcesDirectory() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configure grub: %w", err)
	}
	const mark = "# Kadeploy\n"
	before, _, _ := strings.Cut(string(main), mark)
	return in.put("/etc/default", "grub", before+mark+text)
}

// sourcesDirectory tells whether the system's grub-mkconfig reads defaultsFile.
func (in Install) sourcesDirectory() bool {
	for _, f := range families {
		for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
			text, err := os.ReadFile(filepath.Join(in.Root, dir, f.mkconfig))
			if err == nil && strings.Contains(string(text), "default/grub.d") {
				return true
			}
		}
	}
	return false
}

// defaults are grub-mkconfig's settings.
func (in Install) defaults(c choices) string {
	var b strings.Builder
	b.WriteString("# Written by Kadeploy when this system was deployed.\n")
	fmt.Fprintf(&b, "GRUB_CMDLINE_LINUX=%s\n", quote(in.Params))
	b.WriteString("GRUB_CMDLINE_LINUX_DEFAULT=\nGRUB_DEFAULT=0\n")
	// Looking for systems on other partitions is slow, and finds those of other users.
	// Red Hat's entries in files of their own are read by Red Hat's grub only.
	b.WriteString("GRUB_DISABLE_OS_PROBER=true\nGRUB_RECORDFAIL_TIMEOUT=0\nGRUB_ENABLE_BLSCFG=false\n")
	if c.noUUID {
		b.WriteString("GRUB_DISABLE_LINUX_UUID=true\n")
		if in.RootLabel != "" && in.Initrd != "" {
			fmt.Fprintf(&b, "GRUB_DEVICE=%s\n", quote(byLabel+in.RootLabel))
		}
	}
	if c.menu {
		b.WriteString("GRUB_TIMEOUT=5\nGRUB_TIMEOUT_STYLE=menu\n")
	} else {
		b.WriteString("GRUB_TIMEOUT=0\nGRUB_TIMEOUT_STYLE=hidden\n")
	}
	if unit, speed, ok := serial(in.Params); ok && c.menu {
		fmt.Fprintf(&b, "GRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"serial --unit=%s --speed=%s\"\n", unit, speed)
	}
	return b.String()
}

// quote makes a word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// serial finds a serial console among kernel arguments: console=ttyS0,115200n8.
func serial(params string) (unit, speed string, ok bool) {
	for _, word := range strings.Fields(params) {
		rest, found := strings.CutPrefix(word, "console=ttyS")
		if !found {
			continue
		}
		unit, speed, _ = strings.Cut(rest, ",")
		end := strings.IndexFunc(speed, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			speed = speed[:end]
		}
		if speed == "" {
			speed = "9600"
		}
		return unit, speed, unit != ""
	}
	return "", "", false
}

// checkKernel compares what grub boots by default with the description.
func (in Install) checkKernel(config string) error {
	if in.Kernel == "" {
		return nil
	}
	booted := defaultKernel(config)
	if booted == "" {
		return fault.Preconditionf("Kernel file mismatch between grub and the environment description: grub found no kernel to boot")
	}
	wanted, err := inroot.Resolve(in.Root, in.Kernel)
	if err != nil {
		return err
	}
	// On a system with a separate /boot grub's paths begin there.
	for _, p := range []string{booted, path.Join("/boot", booted)} {
		if real, err := inroot.Resolve(in.Root, p); err == nil && real == wanted {
			return nil
		}
	}
	return fault.Preconditionf("Kernel file mismatch between grub and the environment description: grub boots %s, the description says %s (%s)", booted, in.Kernel, wanted)
}

// defaultKernel is the file of the first "linux" command of a grub.cfg, which is
// what the first menu entry boots.
func defaultKernel(config string) string {
	for line := range strings.Lines(config) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "linux", "linux16", "linuxefi":
			return words[1]
		case "multiboot", "multiboot2":
			continue // the hypervisor; its kernel is a module
		case "module", "module2":
			if words[1] == "--nounzip" && len(words) > 2 {
				return words[2]
			}
			return words[1]
		}
	}
	return ""
}
