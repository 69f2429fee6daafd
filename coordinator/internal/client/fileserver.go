package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// serveFiles exports files over HTTP, or HTTPS if the user wants it: GET and HEAD
// of BASE/<URL-safe base64 of the absolute path>. A secret first part of BASE's
// path keeps out whoever finds the port.
func (c *Client) serveFiles(ctx context.Context, paths []string, secure bool) (*Export, error) {
	files := make(map[string]string, len(paths))
	for _, path := range paths {
		files[base64.RawURLEncoding.EncodeToString([]byte(path))] = path
	}
	host, err := c.localAddress(ctx)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", ":0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	scheme := "http"
	if secure {
		cert, err := ownCertificate()
		if err != nil {
			listener.Close()
			return nil, err
		}
		scheme, listener = "https", tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	}
	prefix := "/" + rand.Text()
	server := &http.Server{
		Handler:           http.StripPrefix(prefix+"/", exported(files)),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener) // ends with ErrServerClosed; nobody is there to be told of another error
	}()
	return &Export{base: scheme + "://" + net.JoinHostPort(host, port) + prefix, end: func() error {
		err := server.Close()
		<-ended
		return err
	}}, nil
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
		f, err := openRegular(path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			w.Header().Set("ETag", fmt.Sprintf(`"%x-%x-%x"`, sys.Ino, st.Size(), st.ModTime().Unix()))
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", st.ModTime(), f)
	})
}
