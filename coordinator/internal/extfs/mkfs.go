package extfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// taking are the options of mke2fs that a site may give, and whether they have a
// value. What makes sense on the whole disk only (-N, -S, -n, -E offset=...) is not here.
var taking = map[string]bool{
	"-b": true, "-C": true, "-D": false, "-e": true, "-E": true, "-F": false, "-g": true, "-G": true, "-i": true, "-I": true,
	"-J": true, "-K": false, "-L": true, "-m": true, "-M": true, "-O": true, "-q": false, "-T": true, "-v": false,
}

// refusedExtended are extended options that a small file system cannot stand for.
var refusedExtended = []string{"offset", "resize", "quotatype", "mmp_update_interval", "num_backup_sb", "encoding", "root_selinux"}

// arguments checks the site's arguments and completes them: "default" keeps
// mke2fs from choosing the blocks and inodes of a tiny file system, and the log
// of a file system that will grow has the size that 4 GiB and more would get.
func arguments(site []string) ([]string, error) {
	args := []string{"-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=0"}
	has := map[string]bool{}
	for i := 0; i < len(site); i++ {
		option, value := site[i], ""
		if len(option) > 2 && option[0] == '-' {
			option, value = option[:2], option[2:]
		}
		takes, known := taking[option]
		if takes && value == "" && i+1 < len(site) {
			i++
			value = site[i]
		}
		if !known || takes == (value == "") {
			return nil, unsuitable("the site's mkfs arguments have %s", site[i])
		}
		if option == "-E" {
			for word := range strings.SplitSeq(value, ",") {
				if name, _, _ := strings.Cut(word, "="); slices.Contains(refusedExtended, name) {
					return nil, unsuitable("the site's mkfs arguments have -E %s", name)
				}
			}
		}
		has[option] = true
		args = append(args, option)
		if takes {
			args = append(args, value)
		}
	}
	if !has["-T"] {
		args = append(args, "-T", "default")
	}
	if !has["-J"] && !strings.Contains(strings.Join(site, " "), "^has_journal") {
		args = append(args, "-J", "size=64")
	}
	return args, nil
}

// logSize is what the arguments say of the log, in bytes.
func logSize(args []string) int64 {
	for i, a := range args {
		if a != "-J" {
			continue
		}
		for word := range strings.SplitSeq(args[i+1], ",") {
			if value, ok := strings.CutPrefix(word, "size="); ok {
				if mib, err := strconv.ParseUint(value, 10, 24); err == nil {
					return int64(mib) << 20
				}
			}
		}
	}
	return 0
}

// attempts bounds how often the size is corrected: the first guess is short of
// what bitmaps, inode tables and the log take, the second is not.
const attempts = 6

// format makes an empty file system in which the tree has room, and opens it.
func (job Job) format(ctx context.Context, t *tree) (*volume, error) {
	args, err := arguments(job.Arguments)
	if err != nil {
		return nil, err
	}
	// mke2fs wants the log to be at most half of the file system.
	size := 2*logSize(args) + 24<<20
	for _, n := range t.inodes {
		size += n.size
	}
	for range attempts {
		if job.MaxBytes > 0 && size > job.MaxBytes {
			return nil, noRoom(size, job.MaxBytes)
		}
		v, err := job.formatOnce(ctx, args, size)
		if err != nil {
			return nil, err
		}
		blocks, inodes := v.lacks(t)
		if blocks <= 0 && inodes <= 0 {
			return v, nil
		}
		v.file.Close()
		if err := os.Remove(job.Path); err != nil {
			return nil, err
		}
		if blocks > 0 {
			size += blocks*int64(v.blockSize)*105/100 + 8<<20
		}
		if inodes > 0 {
			perInode := int64(v.blocks) * int64(v.blockSize) / int64(v.inodes)
			size += max(inodes, 64) * perInode * 105 / 100
		}
	}
	return nil, unsuitable("no size was found at which it fits")
}

// formatOnce makes a file of size bytes, without holding more than it must.
func (job Job) formatOnce(ctx context.Context, args []string, size int64) (*volume, error) {
	f, err := os.OpenFile(job.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	const unit = 1 << 20
	size = (size + unit - 1) / unit * unit
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, err
	}
	if err := run1(ctx, 0, "mke2fs", append(slices.Clone(args), job.Path, strconv.FormatInt(size>>10, 10)+"k")...); err != nil {
		f.Close()
		return nil, err
	}
	v, err := openVolume(f)
	if err != nil {
		f.Close()
	}
	return v, err
}

// run1 runs a tool whose exit status may be at most highest.
func run1(ctx context.Context, highest int, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if path, err := exec.LookPath(name); err != nil {
		for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
			if _, err := os.Stat(dir + name); err == nil {
				path = dir + name
				break
			}
		}
		if path == "" {
			return fmt.Errorf("%s is not installed: install e2fsprogs on this machine", name)
		}
		cmd.Path, cmd.Err = path, nil
	}
	out, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() == nil && cmd.ProcessState != nil && cmd.ProcessState.Exited() && cmd.ProcessState.ExitCode() <= highest {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	text := strings.TrimSpace(string(out))
	if len(text) > 2000 {
		text = text[:2000]
	}
	return fmt.Errorf("%s: %w: %s", name, err, text)
}

// check has e2fsck look at what was made, which must be without any fault, and
// then give the large directories their index.
func check(ctx context.Context, path string) error {
	if err := run1(ctx, 0, "e2fsck", "-f", "-n", path); err != nil {
		return err
	}
	return run1(ctx, 1, "e2fsck", "-f", "-y", "-D", path)
}

// Suitable tells whether Make knows what to do with a site's arguments of mkfs.
func Suitable(site []string) bool {
	_, err := arguments(site)
	return err == nil
}
