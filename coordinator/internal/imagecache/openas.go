package imagecache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenAs opens a file for reading if a user could do so himself. The kernel
// decides, in the same moment as it opens: a thread takes on the user's identity
// for file access (setfsuid(2)), opens, and ends. The process needs to be root,
// or to be that user. A FIFO does not block it.
func OpenAs(path string, uid, gid int, groups []int) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	opened := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread dies with what it has become
		var f *os.File
		err := becomeForFiles(uid, gid, groups)
		if err == nil {
			f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		}
		opened <- result{f, err}
	}()
	r := <-opened
	return r.f, r.err
}

// becomeForFiles changes the calling thread only.
func becomeForFiles(uid, gid int, groups []int) error {
	if uid == os.Geteuid() && uid != 0 {
		return nil
	}
	list := make([]uint32, len(groups)+1)
	for i, g := range groups {
		list[i] = uint32(g)
	}
	// The last element is there so that an empty list has an address, too.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return fmt.Errorf("take on the groups of user %d: %w", uid, errno)
	}
	// These calls report no failure; asking for the impossible -1 tells the present value.
	_, gidErr := unix.SetfsgidRetGid(gid)
	_, uidErr := unix.SetfsuidRetUid(uid)
	nowGid, _ := unix.SetfsgidRetGid(-1)
	nowUid, _ := unix.SetfsuidRetUid(-1)
	if nowUid != uid || nowGid != gid {
		return errors.Join(fmt.Errorf("take on user %d: %w", uid, fs.ErrPermission), gidErr, uidErr)
	}
	return nil
}
