package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"kadeploy/coordinator/internal/imagecache"
)

// openForUser opens server:// files: as a user of this host could open them
// himself, or else below the directories that the configuration opens to all. Of
// users of other hosts this one knows nothing: a name may be somebody else's here.
func openForUser(directories []string) func(context.Context, imagecache.User, string) (*os.File, error) {
	return func(ctx context.Context, by imagecache.User, path string) (*os.File, error) {
		var own error
		if by.Local {
			f, err := openAsUser(ctx, by.UID, path)
			if err == nil || !errors.Is(err, fs.ErrPermission) {
				return f, err
			}
			own = err
		}
		f, err := imagecache.OpenBeneath(directories, path)
		switch {
		case err == nil || !errors.Is(err, fs.ErrPermission):
			return f, err
		case own != nil:
			return nil, own
		}
		return nil, fmt.Errorf("%w; for users of other hosts only the directories in environments/server_directories are open: use local:// or http://", err)
	}
}

// openAsUser opens a file with a user's rights. As the user that it runs as itself,
// the coordinator needs no privilege for it.
func openAsUser(ctx context.Context, uid int, path string) (*os.File, error) {
	gid, groups, err := groupsOf(ctx, uid)
	if err != nil {
		return nil, err
	}
	return imagecache.OpenAs(path, uid, gid, groups)
}

// lookupTime bounds a question to the host's directory of users.
const lookupTime = 5 * time.Second

// groupsOf are the primary and all groups of a user. id(1) asks what a static
// program cannot: LDAP and the like, as the host is set up.
func groupsOf(ctx context.Context, uid int) (gid int, groups []int, err error) {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		if list, err := u.GroupIds(); err == nil {
			return numbers(u.Gid, list)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	primary, err := exec.CommandContext(ctx, "id", "-g", id).Output()
	if err != nil {
		return 0, nil, fmt.Errorf("groups of user %d: id -g: %w", uid, err)
	}
	all, err := exec.CommandContext(ctx, "id", "-G", id).Output()
	if err != nil {
		return 0, nil, fmt.Errorf("groups of user %d: id -G: %w", uid, err)
	}
	return numbers(strings.TrimSpace(string(primary)), strings.Fields(string(all)))
}

func numbers(primary string, all []string) (gid int, groups []int, err error) {
	if gid, err = strconv.Atoi(primary); err != nil {
		return 0, nil, fmt.Errorf("group %q: %w", primary, err)
	}
	for _, text := range all {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, nil, fmt.Errorf("group %q: %w", text, err)
		}
		groups = append(groups, n)
	}
	return gid, groups, nil
}
