package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of time (contract 1.1).
const (
	reachLimit = 5 * time.Second
	getLimit   = 32 * time.Second
	writeLimit = 120 * time.Second
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// Options are who calls, and how.
type Options struct {
	User     string    // sent to servers that are not on the local socket
	Password string    // HTTP Basic, if not empty
	Trace    io.Writer // HTTP traffic is written here, if not nil
}

// Client talks to one server.
type Client struct {
	server Server
	opts   Options
	http   *http.Client
	prefix string
}

// New makes a client. Nothing is sent yet; see Connect.
func New(server Server, opts Options) *Client {
	c := &Client{server: server, opts: opts, prefix: server.HeaderPrefix}
	transport := &http.Transport{
		// The contract's servers have certificates of their own making.
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
	}
	if server.Socket != "" {
		transport.DialContext = c.dialSocket
	}
	c.http = &http.Client{Transport: transport}
	return c
}

// Server is the server that this client talks to.
func (c *Client) Server() Server { return c.server }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) dialSocket(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.server.Socket)
}

// Connect finds out whether the server can be reached, and gives its version.
func (c *Client) Connect(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	data, err := c.roundTrip(ctx, http.MethodGet, "/version", nil, "")
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest && !c.server.Secure && strings.Contains(e.Text, "HTTPS server") {
		return "", fmt.Errorf("The server %s at %s serves HTTPS: set 'secure: true' for it in client.conf", c.server.Name, c.server)
	}
	if err != nil && !errors.As(err, &e) {
		return "", &Unreachable{c.server, errors.Unwrap(err)}
	}
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", c.server, err)
	}
	if c.prefix == "" && c.server.Socket == "" {
		prefix, err := c.roundTrip(ctx, http.MethodGet, "/auth_headers_prefix", nil, "")
		if err != nil {
			return "", fmt.Errorf("ask %s for the prefix of its headers: %w", c.server, err)
		}
		c.prefix = strings.TrimSpace(string(prefix))
	}
	return strings.TrimSpace(string(data)), nil
}

// Get fetches a resource into out, which may be nil.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	ctx, cancel := context.WithTimeout(ctx, getLimit)
	defer cancel()
	return c.do(ctx, http.MethodGet, withQuery(path, query), nil, out)
}

// GetText fetches a resource as the server writes it in the given form.
func (c *Client) GetText(ctx context.Context, path string, query url.Values, accept string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, getLimit)
	defer cancel()
	data, err := c.roundTrip(ctx, http.MethodGet, withQuery(path, query), nil, accept)
	return string(data), err
}

// Post creates something in a collection.
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	return c.write(ctx, http.MethodPost, path, body, out)
}

// Put changes something.
func (c *Client) Put(ctx context.Context, path string, body, out any) error {
	return c.write(ctx, http.MethodPut, path, body, out)
}

// Delete removes something.
func (c *Client) Delete(ctx context.Context, path string, body, out any) error {
	return c.write(ctx, http.MethodDelete, path, body, out)
}

func (c *Client) write(ctx context.Context, verb, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	return c.do(ctx, verb, path, body, out)
}

func withQuery(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + query.Encode()
}

func (c *Client) do(ctx context.Context, verb, path string, body, out any) error {
	data, err := c.roundTrip(ctx, verb, path, body, "application/json")
	if err != nil || out == nil || len(bytes.TrimSpace(data)) == 0 {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: the server's answer makes no sense: %w", verb, path, err)
	}
	return nil
}

// roundTrip sends one request. Errors that are not *Error wrap their cause once.
func (c *Client) roundTrip(ctx context.Context, verb, path string, body any, accept string) ([]byte, error) {
	req, err := c.request(ctx, verb, path, body, accept)
	if err != nil {
		return nil, err
	}
	c.trace(func() ([]byte, error) { return httputil.DumpRequestOut(req, true) })
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("%s %s: %w", verb, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s: the answer broke off: %w", verb, path, err)
	}
	c.trace(func() ([]byte, error) {
		head, err := httputil.DumpResponse(resp, false)
		return append(head, data...), err
	})
	if resp.StatusCode != http.StatusOK {
		return nil, asError(resp, data, path)
	}
	return data, nil
}

func (c *Client) request(ctx context.Context, verb, path string, body any, accept string) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: encode the request: %w", verb, path, err)
		}
		reader = bytes.NewReader(data)
	}
	base := "http://kadeploy" // behind a socket any name will do
	if c.server.Socket == "" {
		base = c.server.String()
	}
	req, err := http.NewRequestWithContext(ctx, verb, base+path, reader)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, path, err)
	}
	if accept == "" {
		accept = "application/json"
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	// On the socket the kernel tells who calls.
	if c.server.Socket == "" && c.prefix != "" && c.opts.User != "" {
		req.Header.Set(c.prefix+"User", c.opts.User)
	}
	if c.opts.Password != "" {
		req.SetBasicAuth(c.opts.User, c.opts.Password)
	}
	return req, nil
}

func (c *Client) trace(dump func() ([]byte, error)) {
	if c.opts.Trace == nil {
		return
	}
	if data, err := dump(); err == nil {
		fmt.Fprintf(c.opts.Trace, "%s\n", data)
	}
}

func asError(resp *http.Response, data []byte, path string) error {
	e := &Error{Status: resp.StatusCode, Code: -1, Text: strings.TrimSpace(string(data)), Path: path}
	if resp.StatusCode != http.StatusBadRequest {
		return e
	}
	code, err := strconv.Atoi(resp.Header.Get("X-Application-Error-Code"))
	if err != nil {
		return e
	}
	e.Code = code
	if info, err := base64.StdEncoding.DecodeString(resp.Header.Get("X-Application-Error-Info")); err == nil && len(info) > 0 {
		e.Text = strings.TrimSpace(string(info))
	}
	return e
}
