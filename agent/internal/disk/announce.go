package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blkpgPartition is struct blkpg_partition of linux/blkpg.h; the lengths are in bytes.
type blkpgPartition struct {
	start, length int64
	number        int32
	_             [64 + 64]byte // names, unused
	_             int32
}

// announce tells the kernel of those new partitions that it did not find by
// itself: it may be built without a parser for GPT.
func (h *Host) announce(d Disk, parts []Made) error {
	f, err := os.OpenFile(d.Path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("tell the kernel of the new partitions: %w", err)
	}
	defer f.Close()
	for _, p := range parts {
		if _, err := os.Stat(h.sys("block", d.Name, filepath.Base(p.Path))); err == nil {
			continue
		}
		part := blkpgPartition{start: int64(p.Start), length: int64(p.Size), number: int32(p.Number)}
		arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_ADD_PARTITION, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
		if errno != 0 && errno != unix.EBUSY { // busy: the kernel knows it by now
			return fmt.Errorf("tell the kernel of %s: %w", p.Path, errno)
		}
	}
	return nil
}

// retract makes the kernel forget the partitions of a disk before its table is
// replaced: those that were announced would stay, whatever the new table says.
func (h *Host) retract(ctx context.Context, d Disk) error {
	f, err := os.OpenFile(d.Path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("make the kernel forget the old partitions: %w", err)
	}
	defer f.Close()
	for _, p := range d.Partitions {
		if err := forget(ctx, f, p); err != nil {
			return fmt.Errorf("make the kernel forget %s: %w", p.Path, err)
		}
	}
	return nil
}

// busyLimit is how long a device may be busy: udev looks at those that were written to.
const busyLimit = 5 * time.Second

func forget(ctx context.Context, disk *os.File, p Partition) error {
	deadline := time.Now().Add(busyLimit)
	for {
		part := blkpgPartition{number: int32(p.Number)}
		arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_DEL_PARTITION, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
		switch {
		case errno == 0 || errno == unix.ENXIO: // ENXIO: it is gone already
			return nil
		case errno != unix.EBUSY || time.Now().After(deadline):
			return errno
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
