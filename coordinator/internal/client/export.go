package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Local tells whether a file's URI means a file of the client's host, and which
// (contract 2.1): a bare path or local://.
func Local(uri string) (path string, ok bool) {
	if path, ok := strings.CutPrefix(uri, "local://"); ok {
		return path, true
	}
	if strings.Contains(uri, "://") {
		return "", false
	}
	return uri, uri != ""
}

// Absolute makes the path of a file of this host absolute, and leaves other URIs alone.
func Absolute(uri string) (string, error) {
	path, ok := Local(uri)
	if !ok {
		return uri, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("file %s: %w", path, err)
	}
	if strings.HasPrefix(uri, "local://") {
		return "local://" + abs, nil
	}
	return abs, nil
}

// Export lends files of this host to the server while an operation runs, over
// HTTP: GET and HEAD of BASE/<URL-safe base64 of the absolute path>. The files
// are opened with the privileges of the user who runs the client, and only
// those named are lent.
//
// To a server behind a unix socket they are lent over another unix socket,
// BASE being "unix:PATH", and only to the user that the daemon runs as. To
// others over TCP, with a secret first part of the path in BASE.
type Export struct {
	base   string
	server *http.Server
	dir    string // of the socket, removed at the end
	ended  chan struct{}
}

// Export starts to lend files. Each must be readable now. With secure it is HTTPS
// over TCP, with a certificate made for the occasion; a unix socket needs none.
func (c *Client) Export(ctx context.Context, paths []string, secure bool) (*Export, error) {
	files := make(map[string]string, len(paths))
	for _, path := range paths {
		if err := readable(path); err != nil {
			return nil, err
		}
		files[base64.RawURLEncoding.EncodeToString([]byte(path))] = path
	}
	e := &Export{ended: make(chan struct{})}
	listener, prefix, err := c.listen(ctx, e, secure)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lend files to the server: %w", err), os.RemoveAll(e.dir))
	}
	e.server = &http.Server{
		Handler:           http.StripPrefix(prefix+"/", exported(files)),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
	}
	go func() {
		defer close(e.ended)
		e.server.Serve(listener) // ends with ErrServerClosed; nobody is there to be told of another error
	}()
	return e, nil
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return err
	} else if !st.Mode().IsRegular() {
		return fmt.Errorf("open %s: it is not a regular file", path)
	}
	return nil
}

func (c *Client) listen(ctx context.Context, e *Export, secure bool) (listener net.Listener, prefix string, err error) {
	var lc net.ListenConfig
	if c.server.Socket != "" {
		// A socket's path is at most 107 bytes long: not below a long $TMPDIR.
		if e.dir, err = os.MkdirTemp("/tmp", "kadeploy-"); err != nil {
			return nil, "", err
		}
		path := filepath.Join(e.dir, "files.sock")
		if listener, err = lc.Listen(ctx, "unix", path); err != nil {
			return nil, "", err
		}
		// The daemon may be of another user; who connects is checked below.
		if err := errors.Join(os.Chmod(e.dir, 0o711), os.Chmod(path, 0o666)); err != nil {
			return nil, "", errors.Join(err, listener.Close())
		}
		e.base = "unix:" + path
		return &daemonOnly{listener, c}, "", nil
	}
	host, err := c.localAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	if listener, err = lc.Listen(ctx, "tcp", ":0"); err != nil {
		return nil, "", err
	}
	prefix = "/" + rand.Text()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	e.base = "http://" + net.JoinHostPort(host, port) + prefix
	if secure {
		cert, err := ownCertificate()
		if err != nil {
			return nil, "", errors.Join(err, listener.Close())
		}
		e.base = "https://" + net.JoinHostPort(host, port) + prefix
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	}
	return listener, prefix, nil
}

// localAddress is the address of this host that the server sees.
func (c *Client) localAddress(ctx context.Context) (string, error) {
	d := net.Dialer{Timeout: reachLimit}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(c.server.Hostname, fmt.Sprint(c.server.Port)))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// daemonOnly accepts connections of the user that the daemon runs as, and of root.
type daemonOnly struct {
	net.Listener
	client *Client
}

func (l *daemonOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn)
		if err == nil && (uid == 0 || int64(uid) == l.client.daemonUID.Load()) {
			return conn, nil
		}
		conn.Close()
	}
}

// Base is what the server is told as "client".
func (e *Export) Base() string { return e.base }

// Close ends the lending.
func (e *Export) Close() error {
	err := e.server.Close()
	<-e.ended
	if e.dir != "" {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	return err
}

// exported serves files by the encoded form of their path.
func exported(files map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := files[strings.TrimRight(r.URL.Path, "=")] // padded or not
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		f, err := os.Open(path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil || !st.Mode().IsRegular() {
			http.Error(w, "not a regular file", http.StatusForbidden)
			return
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			w.Header().Set("ETag", fmt.Sprintf(`"%x-%x-%x"`, sys.Ino, st.Size(), st.ModTime().Unix()))
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", st.ModTime(), f)
	})
}
