// Package apitest checks answers of the REST interface against its description.
package apitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Operation is what the description says of a verb on a path.
type Operation struct {
	Security  *[]any
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]any
	}
}

// Description is the interface in the words of OpenAPI 3.1, whose schemas are JSON Schema 2020-12.
type Description struct {
	Operations map[string]Operation // by VERB PATH, with * for variable parts
	Schemas    []string             // names

	places map[string]string // of operations in the document

	mu       sync.Mutex // a compiler is not for several at once
	compiler *jsonschema.Compiler
}

// Parse reads a description.
func Parse(document []byte) (*Description, error) {
	var doc struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	d := &Description{Operations: make(map[string]Operation), places: make(map[string]string), compiler: jsonschema.NewCompiler()}
	for path, item := range doc.Paths {
		for verb, data := range item {
			if verb == "parameters" {
				continue
			}
			var op Operation
			if err := json.Unmarshal(data, &op); err != nil {
				return nil, fmt.Errorf("%s %s: %w", verb, path, err)
			}
			key := strings.ToUpper(verb) + " " + pattern(path)
			d.Operations[key] = op
			d.places[key] = "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/" + verb
		}
	}
	for name := range doc.Components.Schemas {
		d.Schemas = append(d.Schemas, name)
	}
	slices.Sort(d.Schemas)
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	return d, d.compiler.AddResource("openapi.json", resource)
}

// pattern is a path of the description with * for its variable parts.
func pattern(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// Compile compiles the schema at a place in the document.
func (d *Description) Compile(place string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.compiler.Compile("openapi.json#" + place)
}

// Conforms tells what of an answer is not as described. Requests that are not
// described, and what has no form of its own, conform.
func (d *Description) Conforms(verb, target string, status int, header http.Header, body []byte) error {
	key := d.OperationOf(verb, target)
	if key == "" || verb == http.MethodHead || header.Get("Content-Encoding") != "" || status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		return nil
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	if status != http.StatusOK {
		return d.refusal(key, status, kind, header, body)
	}
	if len(body) == 0 { // dry_run, and nothing to tell
		return nil
	}
	if _, ok := d.Operations[key].Responses["200"].Content[kind]; !ok {
		return fmt.Errorf("%s: an answer in %s is not described", key, kind)
	}
	if kind != "application/json" {
		return nil
	}
	schema, err := d.Compile(d.places[key] + "/responses/200/content/application~1json/schema")
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		return fmt.Errorf("%s %s does not answer as described: %w\n%s", verb, target, err, body)
	}
	return nil
}

func (d *Description) refusal(key string, status int, kind string, header http.Header, body []byte) error {
	response := d.Operations[key].Responses[strconv.Itoa(status)]
	if response.Ref == "" {
		response = d.Operations[key].Responses["default"]
	}
	var errs []error
	if response.Ref == "" || kind != "text/plain" {
		errs = append(errs, fmt.Errorf("%s: %d in %s is not described", key, status, kind))
	}
	if _, coded := header["X-Application-Error-Code"]; status == http.StatusBadRequest && !coded && !bytes.HasPrefix(body, []byte("Bad Request")) {
		errs = append(errs, fmt.Errorf("%s: 400 without a code: %s", key, body))
	}
	return errors.Join(errs...)
}

// OperationOf finds what the description calls a request, "" if nothing; the path
// with the fewest variable parts wins.
func (d *Description) OperationOf(verb, target string) string {
	path, _, _ := strings.Cut(target, "?")
	var parts []string
	for p := range strings.SplitSeq(path, "/") {
		if p, err := url.QueryUnescape(p); p != "" && err == nil {
			parts = append(parts, p)
		}
	}
	best, fewest := "", 100
	for key := range d.Operations {
		rest, ok := strings.CutPrefix(key, verb+" /")
		want := strings.Split(rest, "/")
		if !ok || len(want) != len(parts) {
			continue
		}
		if !slices.EqualFunc(want, parts, func(w, p string) bool { return w == "*" || w == p }) {
			continue
		}
		if n := strings.Count(rest, "*"); n < fewest {
			best, fewest = key, n
		}
	}
	return best
}
