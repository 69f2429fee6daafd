package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"kadeploy/coordinator/internal/apperr"
)

// Limits on what one request may carry (contract 7.1).
const (
	maxBody  = 1 << 20
	maxQuery = 1 << 19 // what net/http lets through of headers in all is 1 MiB
)

// httpError is an error with an HTTP status of its own.
type httpError struct {
	status int
	detail string
}

func (e *httpError) Error() string {
	if e.detail == "" {
		return http.StatusText(e.status)
	}
	return http.StatusText(e.status) + " -- " + e.detail
}

// params are the parameters of one request: a map from the body, into which
// the query string was merged. The getters note the first error that they meet;
// a handler reads all that it wants and then asks err once.
type params struct {
	values map[string]any
	first  error
}

// readParams reads the parameters of a request. The query wins over the body.
func readParams(r *http.Request) (*params, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return nil, &httpError{http.StatusRequestURITooLong, fmt.Sprintf("the query is longer than %d bytes; send a body", maxQuery)}
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &httpError{http.StatusBadRequest, "query string: " + err.Error()}
	}
	return &params{values: mergeQuery(body, query)}, nil
}

func readBody(r *http.Request) (map[string]any, error) {
	switch {
	case r.ContentLength < 0:
		return nil, &httpError{http.StatusLengthRequired, "send a Content-Length"}
	case r.ContentLength > maxBody:
		return nil, &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("at most %d bytes are accepted", maxBody)}
	case r.ContentLength == 0:
		return map[string]any{}, nil
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, &httpError{http.StatusBadRequest, "body: " + err.Error()}
	}
	return decodeBody(r.Header.Get("Content-Type"), data)
}

// decodeBody reads a JSON or YAML map.
func decodeBody(contentType string, data []byte) (map[string]any, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, &httpError{http.StatusUnsupportedMediaType, "a body needs a Content-Type of application/json or application/x-yaml"}
	}
	values := map[string]any{}
	switch kind {
	case "application/json":
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		err = dec.Decode(&values)
		if err == nil && dec.More() {
			err = errors.New("more follows the first value")
		}
	case "application/x-yaml", "application/yaml", "text/yaml":
		err = yaml.Unmarshal(data, &values)
	default:
		return nil, &httpError{http.StatusUnsupportedMediaType, kind + ": only application/json and application/x-yaml are understood"}
	}
	if err != nil {
		return nil, &httpError{http.StatusUnsupportedMediaType, fmt.Sprintf("the body is not a map in %s: %v", kind, err)}
	}
	if values == nil { // JSON null
		values = map[string]any{}
	}
	return values, nil
}

// mergeQuery adds the query to the body's values: one value is a string, several are a list.
func mergeQuery(body map[string]any, query url.Values) map[string]any {
	for key, values := range query {
		if key == "" { // a bare "?" or "&"
			continue
		}
		if len(values) == 1 {
			body[key] = values[0]
			continue
		}
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		body[key] = list
	}
	return body
}

// err is the first error that a getter met.
func (p *params) err() error { return p.first }

func (p *params) fail(name, format string, args ...any) {
	if p.first == nil {
		p.first = apperr.New(apperr.InvalidOption, "Parameter '%s': %s", name, fmt.Sprintf(format, args...))
	}
}

// missing notes that a mandatory parameter is not there.
func (p *params) missing(name string) {
	if p.first == nil {
		p.first = apperr.New(apperr.MissingOption, "Parameter '%s': it is mandatory", name)
	}
}

// has tells whether the parameter is there and not null.
func (p *params) has(name string) bool { return p.values[name] != nil }

// set is how clients say yes: the key is there and is not a JSON false.
// Even "?last=false" says yes, as that is the string "false".
func (p *params) set(name string) bool {
	v, there := p.values[name]
	return there && v != false
}

// text is a string; a number is taken for its digits, as some clients send
// versions and partitions this way and some the other. Without it: "".
func (p *params) text(name string) string {
	s, ok := scalar(p.values[name])
	if !ok {
		p.fail(name, "must be a string")
	}
	return s
}

// scalar is the text of a string, a number or nothing.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// oneOf is a string out of a choice, or the fallback when the parameter is not there.
func (p *params) oneOf(name, fallback string, choice ...string) string {
	if !p.has(name) {
		return fallback
	}
	s := p.text(name)
	if !slices.Contains(choice, s) {
		p.fail(name, "%q is not one of %s", s, strings.Join(choice, ", "))
		return fallback
	}
	return s
}

// integer is a whole number, or the fallback when the parameter is not there.
func (p *params) integer(name string, fallback int) int {
	if !p.has(name) {
		return fallback
	}
	if f, ok := p.values[name].(float64); ok && (f != math.Trunc(f) || math.Abs(f) > 1<<53) {
		p.fail(name, "must be a whole number")
		return fallback
	}
	n, err := strconv.Atoi(p.text(name))
	if err != nil {
		p.fail(name, "must be a whole number")
		return fallback
	}
	return n
}

// list is a list of strings; a single string is a list of one.
func (p *params) list(name string) []string {
	return p.stringsOf(name, p.values[name])
}

func (p *params) stringsOf(name string, v any) []string {
	if v == nil {
		return nil
	}
	values, ok := v.([]any)
	if !ok {
		values = []any{v}
	}
	var all []string
	for _, v := range values {
		s, ok := scalar(v)
		if !ok || v == nil {
			p.fail(name, "must be a list of strings")
			return nil
		}
		all = append(all, s)
	}
	return all
}

// object is a map with its own parameters; nil when it is not there.
// Errors in it are noted by p, with both names.
func (p *params) object(name string) map[string]any {
	v := p.values[name]
	if v == nil {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.fail(name, "must be a map")
	}
	return m
}

// within reads the members of an object with the same getters.
func (p *params) within(name string, read func(in *params)) {
	m := p.object(name)
	if m == nil {
		return
	}
	in := &params{values: m}
	read(in)
	if in.first != nil && p.first == nil {
		code, _ := apperr.Of(in.first)
		text := strings.TrimPrefix(in.first.Error(), "Parameter '")
		p.first = apperr.New(code, "Parameter '%s/%s", name, text)
	}
}

// textMap is a map of strings to strings.
func (p *params) textMap(name string) map[string]string {
	m := p.object(name)
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		s, ok := scalar(v)
		if !ok {
			p.fail(name, "the value of %q must be a string", k)
			return nil
		}
		out[k] = s
	}
	return out
}
