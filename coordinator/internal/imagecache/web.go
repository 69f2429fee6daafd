package imagecache

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/loan"
)

const headerTimeout = 30 * time.Second

// fetcher speaks HTTP with servers of the web and with clients' export servers.
type fetcher struct {
	client *http.Client
	export *http.Client // clients make a certificate for each run: there is nothing to check it against
	stall  time.Duration
}

func newFetcher(rt http.RoundTripper, stall time.Duration) *fetcher {
	transport := func() *http.Transport {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = headerTimeout
		t.DisableCompression = true // the bytes as they are stored
		return t
	}
	f := &fetcher{client: &http.Client{Transport: rt}, stall: stall}
	if rt == nil {
		f.client.Transport = transport()
	}
	export := transport()
	export.Proxy = nil
	export.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	f.export = &http.Client{Transport: export}
	return f
}

// openClientFile finds a file of the client (contract 2.1): one that it lends as
// an open descriptor, or one that it exports over HTTP. The copy of the latter is
// shared only between requests of one user from one host: the ETag is what the
// client says, and must not open other users' copies.
func (c *Cache) openClientFile(ctx context.Context, req Request, name string) (source, error) {
	if req.ClientURL == "" {
		return nil, apperr.New(apperr.InvalidClient, "the %s file %s is on the client, which exports no files: run the command without --no-wait, or use server:// or http://", req.Kind, req.URI)
	}
	if !path.IsAbs(name) {
		return nil, apperr.New(apperr.InvalidFile, "%s: the path of a file on the client must be absolute", req.URI)
	}
	if id, lent := loan.ID(req.ClientURL); lent {
		return c.openLentFile(req, id, name)
	}
	client, base := c.web.export, req.ClientURL
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, apperr.New(apperr.InvalidClient, "%q is not the URL of a client's export server", req.ClientURL)
	}
	at := strings.TrimSuffix(base, "/") + "/" + base64.URLEncoding.EncodeToString([]byte(name))
	src, err := c.web.head(ctx, client, at, "client "+req.User.Name+" "+u.Hostname()+" "+name)
	var refused *apperr.Error
	if errors.As(err, &refused) {
		refused.Detail = fmt.Sprintf("the %s file %s on the client: %s", req.Kind, name, refused.Detail)
		if errors.As(err, new(*url.Error)) {
			refused.Code = apperr.InvalidClient
		}
	}
	return src, err
}

// webFile is a file behind a URL.
type webFile struct {
	fetcher *fetcher
	client  *http.Client
	url     string
	found   version
	tag     string // validator in the answer to HEAD
	got     string // and to GET
}

// head asks for a file's size and version. where begins its key.
func (f *fetcher) head(ctx context.Context, client *http.Client, at, where string) (source, error) {
	ctx, cancel := context.WithTimeout(ctx, headerTimeout)
	defer cancel()
	resp, err := send(ctx, client, http.MethodHead, at)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	w := &webFile{fetcher: f, client: client, url: at, tag: validator(resp)}
	w.found = version{size: resp.ContentLength, checksum: w.tag}
	if w.tag != "" {
		w.found.key = where + " " + w.tag
	}
	return w, nil
}

// send makes one request; any status but 200 is an error.
func send(ctx context.Context, client *http.Client, method, at string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return nil, apperr.New(apperr.InvalidFile, "%s: %w", at, err)
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, apperr.New(apperr.InvalidFile, "fetch %s: %w", at, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, apperr.New(apperr.InvalidFile, "fetch %s: the server answers %s", at, resp.Status)
	}
	return resp, nil
}

// validator identifies a version: the ETag, or else time and size. Empty: the
// server gives neither, and every fetch is a new one.
func validator(resp *http.Response) string {
	if tag := bareETag(resp.Header.Get("ETag")); tag != "" {
		return tag
	}
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil && resp.ContentLength >= 0 {
		return fmt.Sprintf("%x-%x", resp.ContentLength, t.Unix())
	}
	return ""
}

// bareETag is an entity tag without quotes and weakness mark.
func bareETag(tag string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
}

func (w *webFile) version() version { return w.found }

func (w *webFile) close() {}

// open starts the transfer, which is given up when nothing comes for too long.
func (w *webFile) open(ctx context.Context) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := fmt.Errorf("nothing came for %v", w.fetcher.stall)
	timer := time.AfterFunc(w.fetcher.stall, func() { cancel(stalled) })
	resp, err := send(ctx, w.client, http.MethodGet, w.url)
	if err != nil {
		timer.Stop()
		defer cancel(nil)
		if cause := context.Cause(ctx); cause != nil {
			return nil, apperr.New(apperr.InvalidFile, "fetch %s: %w", w.url, cause)
		}
		return nil, err
	}
	w.got = validator(resp)
	return &transfer{ctx: ctx, body: resp.Body, timer: timer, limit: w.fetcher.stall, cancel: cancel}, nil
}

func (w *webFile) unchanged() error {
	if w.got != w.tag {
		return apperr.New(apperr.InvalidFile, "%s was changed while it was fetched: try again", w.url)
	}
	return nil
}

// transfer is a body that watches for progress.
type transfer struct {
	ctx    context.Context
	body   io.ReadCloser
	timer  *time.Timer
	limit  time.Duration
	cancel context.CancelCauseFunc
}

func (t *transfer) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	if n > 0 {
		t.timer.Reset(t.limit)
	}
	if err != nil && err != io.EOF && context.Cause(t.ctx) != nil {
		err = context.Cause(t.ctx)
	}
	return n, err
}

func (t *transfer) Close() error {
	t.timer.Stop()
	t.cancel(nil)
	return t.body.Close()
}
