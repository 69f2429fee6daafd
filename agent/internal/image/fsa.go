package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
)

// FsaPart says where one file system of an archive goes.
type FsaPart struct {
	ID     int    // its number in the archive, from 0
	Device string // block device
}

// FsaOptions says what is restored, and where.
type FsaOptions struct {
	Path  string // where the archive is kept until it is restored: fsarchiver wants a regular file
	Parts []FsaPart
	// Release gives back the place in which Path is, after the file was removed; may be nil.
	Release func() error
}

// fsaMagic begins an archive of fsarchiver.
var fsaMagic = []byte("FsA0")

// NewFsaSink returns a sink that keeps an archive of fsarchiver and has fsarchiver
// make its file systems when it is complete. It releases the place in any case.
func NewFsaSink(ctx context.Context, opts FsaOptions) (*Sink, error) {
	c := &fsaConsumer{opts: opts}
	fail := func(err error) (*Sink, error) {
		return nil, errors.Join(fmt.Errorf("restore image: %w", err), c.discard())
	}
	if len(opts.Parts) == 0 {
		return fail(fault.Invalidf("no partition is named"))
	}
	var err error
	if c.tool, err = command.Tool("fsarchiver"); err != nil {
		return fail(fault.Preconditionf("%w: the mini-OS has to have the package fsarchiver", err))
	}
	if c.file, err = os.OpenFile(opts.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return fail(err)
	}
	return start(ctx, "restore image", c), nil
}

type fsaConsumer struct {
	opts FsaOptions
	tool string
	file *os.File
	gone bool // the archive was removed
}

func (c *fsaConsumer) consume(ctx context.Context, r io.Reader, count func(bytes, entries int64)) error {
	err := c.keep(ctx, r, count)
	if err == nil {
		err = c.restore(ctx, count)
	}
	if err != nil {
		return fmt.Errorf("restore image: %w", err)
	}
	return nil
}

// keep stores the archive.
func (c *fsaConsumer) keep(ctx context.Context, r io.Reader, count func(bytes, entries int64)) error {
	buf := make([]byte, rawChunk)
	for off := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if off == 0 && n > 0 && !bytes.HasPrefix(buf[:n], fsaMagic) {
			if err := expectKind("fsa", buf[:n]); err != nil {
				return err
			}
			return fault.Invalidf("the description says that the image is of kind fsa, but its content is no archive of fsarchiver: correct image.kind, or image.file")
		}
		if _, err := c.file.Write(buf[:n]); err != nil {
			if errors.Is(err, unix.ENOSPC) {
				err = fmt.Errorf("%w: an fsa image is kept whole while it is restored; give the node a tmp partition with a file system (-r ext4)", err)
			}
			return fmt.Errorf("keep the archive: %w", err)
		}
		off += int64(n)
		count(int64(n), 0)
		switch {
		case (err == io.EOF || err == io.ErrUnexpectedEOF) && off == 0:
			return fault.Invalidf("the image is empty")
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return c.file.Close()
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// restore makes the file systems. The archive's own settings, compression included, are in it.
func (c *fsaConsumer) restore(ctx context.Context, count func(bytes, entries int64)) error {
	args := []string{"restfs", "-v", fmt.Sprintf("-j%d", max(1, runtime.NumCPU())), c.opts.Path}
	for _, p := range c.opts.Parts {
		args = append(args, fmt.Sprintf("id=%d,dest=%s", p.ID, p.Device))
	}
	report := &fsaReport{count: count} // all of it comes on the standard error
	err := command.Run(ctx, command.Cmd{Path: c.tool, Args: args, Stderr: report})
	if context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w%s", withoutTail(err), report.said())
	}
	// It exits with 0 when it lost a file, or what it could not read of the archive.
	if len(report.complaints) > 0 {
		return fault.DataLossf("fsarchiver lost something: the archive is damaged, or does not fit%s", report.said())
	}
	return nil
}

// withoutTail drops the last lines of what fsarchiver printed: they are names of files and statistics.
func withoutTail(err error) error {
	exit, ok := errors.AsType[*command.ExitError](err)
	if !ok {
		return err
	}
	short := *exit
	short.Tail = ""
	return &short
}

func (c *fsaConsumer) finish() error {
	for _, p := range c.opts.Parts {
		if err := flushDevice(p.Device); err != nil {
			return err
		}
	}
	return c.remove()
}

func flushDevice(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = f.Sync()
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("flush image to %s: %w", path, err)
	}
	return nil
}

func (c *fsaConsumer) discard() error { return c.remove() }

func (c *fsaConsumer) remove() error {
	if c.gone {
		return nil
	}
	c.gone = true
	if c.file != nil {
		c.file.Close() // it may be closed already
	}
	err := os.Remove(c.opts.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if c.opts.Release != nil {
		err = errors.Join(err, c.opts.Release())
	}
	return err
}

// fsaReport reads what fsarchiver prints: a line for each file, complaints, statistics.
type fsaReport struct {
	count      func(bytes, entries int64)
	rest       []byte   // of a line
	complaints []string // the first ones
	full       bool     // a device has no room left, which is told first
}

// Bounds of what is kept.
const (
	maxComplaints = 4   // as many as help who reads them
	maxLine       = 500 // bytes
)

func (r *fsaReport) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		line, rest, ok := bytes.Cut(r.rest, []byte("\n"))
		if !ok {
			r.rest = r.rest[max(0, len(r.rest)-maxLine):]
			return len(p), nil
		}
		r.rest = rest
		switch text := string(line[:min(len(line), maxLine)]); {
		case strings.HasPrefix(text, "-["): // -[00][ 12%][REGFILE ] /etc/passwd
			r.count(0, 1)
		case strings.HasPrefix(text, "[errno=28,") && !r.full: // what its other threads complain of follows from it
			r.full = true
			r.complaints = append([]string{text}, r.complaints...)
		case isComplaint(text) && len(r.complaints) < maxComplaints:
			r.complaints = append(r.complaints, strings.ToValidUTF8(text, "?"))
		}
	}
}

func (r *fsaReport) said() string {
	if len(r.complaints) == 0 {
		return ""
	}
	return ": " + strings.Join(r.complaints, " | ")
}

// isComplaint knows fsarchiver's own form, "file.c#line,function(): text", and its count of failures.
func isComplaint(line string) bool {
	if rest, ok := strings.CutPrefix(line, "* files with errors:"); ok {
		return strings.Trim(rest, ".") != "regfiles=0, directories=0, symlinks=0, hardlinks=0, specials=0"
	}
	return strings.Contains(line, ".c#")
}
