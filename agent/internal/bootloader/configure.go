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

// generator is a program that writes grub.cfg, and where its grub looks for it.
type generator struct{ program, config string }

var generators = []generator{
	{"grub-mkconfig", "/boot/grub/grub.cfg"},
	{"grub2-mkconfig", "/boot/grub2/grub.cfg"},
}

// configure writes grub.cfg, and checks that it boots the kernel of the description.
func (in Install) configure(ctx context.Context, c choices) error {
	if c.ownConfig {
		for _, g := range generators {
			if tool, err := command.ToolIn(in.Root, g.program); err == nil && in.has(tool) {
				return in.generate(ctx, c, g, tool)
			}
		}
		in.say("the system has no grub-mkconfig: a plain grub.cfg is written")
	}
	return in.writeStatic(c)
}

func (in Install) generate(ctx context.Context, c choices, g generator, tool string) error {
	if err := in.writeDefaults(c); err != nil {
		return err
	}
	if err := in.run(ctx, in.Root, tool, "-o", g.config); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(in.Root, g.config))
	if err != nil {
		return fmt.Errorf("read grub's configuration: %w", err)
	}
	return in.checkKernel(string(text))
}

// defaultsFile is sourced by Debian's grub-mkconfig, so that what is chosen here
// holds also when the deployed system runs update-grub later.
const defaultsFile = "/etc/default/grub.d/kadeploy.cfg"

func (in Install) writeDefaults(c choices) error {
	text := defaults(in.Params, c)
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
	for _, g := range generators {
		for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
			text, err := os.ReadFile(filepath.Join(in.Root, dir, g.program))
			if err == nil && strings.Contains(string(text), "default/grub.d") {
				return true
			}
		}
	}
	return false
}

// defaults are grub-mkconfig's settings.
func defaults(params string, c choices) string {
	var b strings.Builder
	b.WriteString("# Written by Kadeploy when this system was deployed.\n")
	fmt.Fprintf(&b, "GRUB_CMDLINE_LINUX=%s\n", quote(params))
	b.WriteString("GRUB_CMDLINE_LINUX_DEFAULT=\nGRUB_DEFAULT=0\n")
	// Looking for systems on other partitions is slow, and finds those of other users.
	b.WriteString("GRUB_DISABLE_OS_PROBER=true\nGRUB_RECORDFAIL_TIMEOUT=0\n")
	if c.noUUID {
		b.WriteString("GRUB_DISABLE_LINUX_UUID=true\n")
	}
	if c.menu {
		b.WriteString("GRUB_TIMEOUT=5\nGRUB_TIMEOUT_STYLE=menu\n")
	} else {
		b.WriteString("GRUB_TIMEOUT=0\nGRUB_TIMEOUT_STYLE=hidden\n")
	}
	if unit, speed, ok := serial(params); ok && c.menu {
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

// writeStatic writes a grub.cfg that boots the description's kernel, and nothing else.
func (in Install) writeStatic(c choices) error {
	kernel, err := inroot.Resolve(in.Root, in.Kernel)
	if err != nil {
		return err
	}
	initrd := ""
	if in.Initrd != "" {
		if initrd, err = inroot.Resolve(in.Root, in.Initrd); err != nil {
			return err
		}
	}
	directory := "/boot/grub"
	if _, err := os.Stat(filepath.Join(in.Root, "/boot/grub2")); err == nil {
		directory = "/boot/grub2"
	}
	return in.put(directory, "grub.cfg", in.static(c, kernel, initrd))
}

func (in Install) static(c choices, kernel, initrd string) string {
	var b strings.Builder
	b.WriteString("# Written by Kadeploy when this system was deployed.\n")
	timeout := 0
	if c.menu {
		timeout = 5
	}
	fmt.Fprintf(&b, "set timeout=%d\nset default=0\ninsmod part_gpt\n", timeout)
	root := in.RootDevice
	if c.noUUID || in.RootUUID == "" {
		fmt.Fprintf(&b, "search --no-floppy --file --set=root %s\n", kernel)
	} else {
		root = "UUID=" + in.RootUUID
		fmt.Fprintf(&b, "search --no-floppy --fs-uuid --set=root %s\n", in.RootUUID)
	}
	fmt.Fprintf(&b, "menuentry 'Deployed system' {\n\tlinux %s root=%s ro %s\n", kernel, root, in.Params)
	if initrd != "" {
		fmt.Fprintf(&b, "\tinitrd %s\n", initrd)
	}
	b.WriteString("}\n")
	return b.String()
}

// put writes a file of the system, whatever links lead there, in one move.
func (in Install) put(directory, name, text string) error {
	if err := in.makeDirectory(directory); err != nil {
		return fmt.Errorf("write %s/%s: %w", directory, name, err)
	}
	dir, err := inroot.Open(in.Root, directory, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	temporary := "." + name + ".new"
	unix.Unlinkat(int(dir.Fd()), temporary, 0) // left by an interrupted run
	fd, err := unix.Openat(int(dir.Fd()), temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("write %s/%s: %w", directory, name, err)
	}
	f := os.NewFile(uintptr(fd), temporary)
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = unix.Renameat(int(dir.Fd()), temporary, int(dir.Fd()), name)
	}
	if err != nil {
		unix.Unlinkat(int(dir.Fd()), temporary, 0)
		return fmt.Errorf("write %s/%s: %w", directory, name, err)
	}
	return nil
}

// makeDirectory makes a directory of the system, and those above it.
func (in Install) makeDirectory(directory string) error {
	if directory == "/" {
		return nil
	}
	if err := in.makeDirectory(path.Dir(directory)); err != nil {
		return err
	}
	parent, err := inroot.Open(in.Root, path.Dir(directory), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := unix.Mkdirat(int(parent.Fd()), path.Base(directory), 0o755); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}
