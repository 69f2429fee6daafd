package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Stream copies a resource to w as it comes, however long it is and takes. Nothing is
// written if the server refuses.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, w io.Writer) error {
	path = withQuery(path, query)
	req, err := c.request(ctx, http.MethodGet, path, nil, "")
	if err != nil {
		return err
	}
	c.trace(func() ([]byte, error) { return httputil.DumpRequestOut(req, true) })
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	c.trace(func() ([]byte, error) { return httputil.DumpResponse(resp, false) })
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("GET %s: the answer broke off: %w", path, err)
		}
		return asError(resp, data, path)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("GET %s: copy the answer: %w", path, err)
	}
	return nil
}
