package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/env"
)

// maxDescription bounds a description: what is longer is another file.
const maxDescription = 1 << 20

// readDescription reads a description from a file of this host or a URL. The
// files of this host that it names become absolute. Fields that nobody uses are
// told on notes.
func readDescription(ctx context.Context, notes io.Writer, from string) (*env.Description, error) {
	data, err := readText(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	d, warnings, err := env.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	for _, w := range warnings {
		fmt.Fprintf(notes, "Warning[env_desc]: %s\n", w)
	}
	return d, absoluteFiles(d)
}

// absoluteFiles makes absolute the files of this host that a description names.
func absoluteFiles(d *env.Description) (err error) {
	uris := []*string{&d.Image.File}
	if d.Preinstall != nil {
		uris = append(uris, &d.Preinstall.Archive)
	}
	for i := range d.Postinstalls {
		uris = append(uris, &d.Postinstalls[i].Archive)
	}
	for _, uri := range uris {
		if *uri, err = client.Absolute(*uri); err != nil {
			return err
		}
	}
	return nil
}

// readText reads a file of this host or of the web, that must be text.
func readText(ctx context.Context, from string) ([]byte, error) {
	var data []byte
	var err error
	if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
		data, err = download(ctx, from)
	} else {
		data, err = readFile(strings.TrimPrefix(from, "local://"))
	}
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxDescription:
		return nil, fmt.Errorf("%s is longer than %d bytes: it is no description", from, maxDescription)
	case !utf8.Valid(data) || strings.ContainsRune(string(data), 0):
		return nil, fmt.Errorf("%s is no text: the description is wanted, not the image", from)
	}
	return data, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDescription+1))
}

func download(ctx context.Context, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 32*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: the web server answered %s", from, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxDescription+1))
}

// asMap is a value as the map that its JSON is.
func asMap(v any) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(data, &m)
}
