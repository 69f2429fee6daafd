package auth

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type peerKey struct{}

// ConnContext is for http.Server.ConnContext: it notes who is at the other end of
// a Unix socket, as the kernel says. Other connections pass unchanged.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return ctx
	}
	var peer *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) { peer, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || failure != nil {
		return ctx // nobody: the caller is refused
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

func peerOf(ctx context.Context) (*unix.Ucred, bool) {
	peer, ok := ctx.Value(peerKey{}).(*unix.Ucred)
	return peer, ok
}

// lookupTime bounds a question to the machine's directory of users.
const lookupTime = 5 * time.Second

// userName is the login name of a user. getent asks what a static program cannot:
// LDAP and the like, as the machine is set up.
func userName(ctx context.Context, uid uint32) (string, error) {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "getent", "passwd", id).Output()
	if err != nil {
		return "", fmt.Errorf("name of user %s: getent passwd: %w", id, err)
	}
	name, _, _ := strings.Cut(string(out), ":")
	if name == "" {
		return "", fmt.Errorf("name of user %s: getent passwd gives none", id)
	}
	return name, nil
}
