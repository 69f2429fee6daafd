package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"kadeploy/coordinator/internal/boot/userfile"
	"kadeploy/coordinator/internal/profile"
)

// Paths of the HTTP server.
const (
	pathScript    = "/boot.ipxe"
	pathOverlay   = "/overlay.cpio.gz"
	pathFiles     = "/files/"
	pathLoaders   = "/loaders/"
	pathUserFiles = "/userfiles/"
)

const (
	scriptTimeout = 10 * time.Second // for the profile and the token of one script
	headerTimeout = 10 * time.Second
	stopTimeout   = 2 * time.Second // for transfers under way when the service ends
)

// web serves boot scripts and the files that they name. Scripts and the overlay
// are for known nodes only, by their source address; nothing is ever listed.
type web struct {
	nodes    *index
	scripts  *scripter
	profiles Profiles
	tokens   Tokens
	overlay  []byte // nil: none
	log      *slog.Logger
}

// opener finds a file by the name that was asked for.
type opener func(name string) (*os.File, os.FileInfo, error)

// handler routes requests. users may be nil.
func (w *web) handler(files *os.Root, loaders *loaders, users *os.Root) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathScript, w.serveScript)
	mux.HandleFunc("GET "+pathOverlay, w.serveOverlay)
	mux.Handle("GET "+pathFiles+"{name...}", w.tree(below(files)))
	mux.Handle("GET "+pathLoaders+"{name...}", w.tree(loaders.open))
	if users != nil {
		mux.Handle("GET "+pathUserFiles+"{name...}", w.tree(userFiles(users)))
	}
	return mux
}

// userFiles keeps other files in the same directory out of reach.
func userFiles(root *os.Root) opener {
	return func(name string) (*os.File, os.FileInfo, error) {
		if !strings.HasPrefix(name, userfile.Prefix("")) || strings.Contains(name, "/") {
			return nil, nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		}
		return openRegular(root, name)
	}
}

// serveScript answers with what the asking node boots now.
func (w *web) serveScript(rw http.ResponseWriter, r *http.Request) {
	node, ok := w.nodeOf(rw, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), scriptTimeout)
	defer cancel()
	script := w.scriptFor(ctx, node, r.Method == http.MethodGet)
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("Content-Length", fmt.Sprint(len(script)))
	if r.Method == http.MethodGet {
		rw.Write(script)
	}
}

// scriptFor looks up the node's profile. Whatever fails is told on the node's
// console by the script itself: nobody reads an HTTP status there. A token is
// minted only for a script that is really delivered.
func (w *web) scriptFor(ctx context.Context, node string, deliver bool) []byte {
	p, err := w.profiles.BootProfile(ctx, node)
	if err != nil {
		w.log.Error("no boot profile", "node", node, "error", err)
		return w.scripts.problem(node, fmt.Sprintf("its boot profile cannot be read: %v", err))
	}
	switch p.Kind {
	case profile.Local:
		w.log.Info("node boots", "node", node, "profile", string(p.Kind))
		return w.scripts.local(node)
	case profile.Custom:
		w.log.Info("node boots", "node", node, "profile", string(p.Kind))
		return []byte(customScript(p, w.scripts.base+pathUserFiles))
	case profile.MiniOS:
		if !deliver {
			return nil
		}
		token, err := w.tokens.Mint(ctx, node)
		if err != nil {
			w.log.Error("no token for a node that boots the mini-OS", "node", node, "error", err)
			return w.scripts.problem(node, fmt.Sprintf("the coordinator gave it no token: %v", err))
		}
		w.log.Info("node boots", "node", node, "profile", string(p.Kind))
		return w.scripts.miniOS(p, node, token)
	}
	w.log.Error("unknown kind of boot profile", "node", node, "profile", string(p.Kind))
	return w.scripts.problem(node, fmt.Sprintf("its boot profile is of an unknown kind %q", p.Kind))
}

func (w *web) serveOverlay(rw http.ResponseWriter, r *http.Request) {
	if _, ok := w.nodeOf(rw, r); !ok {
		return
	}
	if w.overlay == nil {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(w.overlay))
}

// nodeOf finds the node that asks by its source address, or refuses.
func (w *web) nodeOf(rw http.ResponseWriter, r *http.Request) (string, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil {
		if node, known := w.nodes.byAddress[from.Addr().Unmap()]; known {
			return node.Name, true
		}
	}
	w.log.Warn("boot request of an unknown machine is refused", "address", r.RemoteAddr, "path", r.URL.Path)
	http.Error(rw, "this address belongs to no node", http.StatusForbidden)
	return "", false
}

// tree serves the files that open finds.
func (w *web) tree(open opener) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		f, info, err := open(r.PathValue("name"))
		if err != nil {
			w.log.Warn("boot file cannot be served", "path", r.URL.Path, "address", r.RemoteAddr, "error", err)
			http.NotFound(rw, r)
			return
		}
		defer f.Close()
		rw.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(rw, r, "", info.ModTime(), f) // an *os.File goes out by sendfile
	}
}

// below opens regular files below root. os.Root keeps every path inside it,
// symbolic links included.
func below(root *os.Root) opener {
	return func(name string) (*os.File, os.FileInfo, error) { return openRegular(root, name) }
}

// openRegular opens a regular file below root.
func openRegular(root *os.Root, name string) (*os.File, os.FileInfo, error) {
	info, err := root.Stat(name) // before opening: a FIFO would block
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, info, nil
}

// serveHTTP serves until ctx ends; transfers under way are then cut after a moment.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if !stop() { // ctx has ended
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve boot scripts by HTTP: %w", err)
}
