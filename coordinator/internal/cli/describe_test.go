package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDescriptionSources: a description comes from the web, from a file, and from nothing else.
func TestDescriptionSources(t *testing.T) {
	const text = "name: x\nos: linux\ncolour: red\nimage: {file: img.tgz, kind: dd, compression: gzip}\n"
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/x.dsc":
			fmt.Fprint(w, text)
		case "/image":
			w.Write([]byte{0x1f, 0x8b, 0, 0xff})
		case "/endless":
			io.Copy(w, strings.NewReader(strings.Repeat("a", 2*maxDescription)))
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	file := filepath.Join(t.TempDir(), "x.dsc")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{web.URL + "/x.dsc", file, "local://" + file} {
		var notes strings.Builder
		d, err := readDescription(t.Context(), &notes, from)
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		if d.Name != "x" || !filepath.IsAbs(d.Image.File) || notes.String() != "Warning[env_desc]: Unused field 'colour'\n" {
			t.Errorf("%s: name %q, image %q, notes %q", from, d.Name, d.Image.File, notes.String())
		}
	}
	for from, want := range map[string]string{
		web.URL + "/none":        "the web server answered 404 Not Found",
		web.URL + "/image":       "is no text",
		web.URL + "/endless":     "is longer than",
		"http://127.0.0.1:1/x":   "refused",
		file + ".none":           "no such file",
		filepath.Dir(file):       "is a directory",
		"http://nowhere.invalid": "nowhere.invalid",
	} {
		if _, err := readDescription(t.Context(), io.Discard, from); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", from, err, want)
		}
	}
}
