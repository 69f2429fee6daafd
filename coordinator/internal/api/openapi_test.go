package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kadeploy/coordinator/internal/cluster"
)

var update = flag.Bool("update", false, "rewrite docs/openapi.json")

// operation is what the description says of a verb on a path.
type operation struct {
	Security  *[]any
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]any
	}
}

type described struct {
	OpenAPI string
	Paths   map[string]map[string]json.RawMessage
}

// operations is the description by VERB PATH, with * for variable parts.
var operations = sync.OnceValues(func() (map[string]operation, map[string]string) {
	var d described
	if err := json.Unmarshal(openAPIDocument, &d); err != nil {
		panic(err)
	}
	ops, places := make(map[string]operation), make(map[string]string)
	for path, item := range d.Paths {
		for verb, data := range item {
			if verb == "parameters" {
				continue
			}
			var op operation
			if err := json.Unmarshal(data, &op); err != nil {
				panic(err)
			}
			key := strings.ToUpper(verb) + " " + pattern(path)
			ops[key] = op
			places[key] = "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/" + verb
		}
	}
	return ops, places
})

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

type lender struct{}

func (lender) Serve(conn *net.UnixConn, _ int) error { return conn.Close() }

// deaf has no consoles; routes are all that is asked of it.
type deaf struct{}

func (deaf) Has(*cluster.Cluster, string) bool      { return false }
func (deaf) Open(ConsoleOrder) (ConsoleView, error) { return ConsoleView{}, nil }
func (deaf) Console(string) (ConsoleView, bool)     { return ConsoleView{}, false }
func (deaf) Consoles() []ConsoleView                { return nil }
func (deaf) End(string, string)                     {}

func TestTheDescriptionHasAllRoutesAndNoMore(t *testing.T) {
	r := newRig(t)
	r.config.Lender, r.config.Consoles = lender{}, deaf{}
	handler, err := New(r.config)
	if err != nil {
		t.Fatal(err)
	}
	ops, _ := operations()
	there := make(map[string]bool)
	for _, rt := range handler.(*server).routes {
		paths := []string{"/" + strings.Join(rt.path, "/")}
		if prefix, many := strings.CutSuffix(paths[0], "/**"); many { // USER/NAME and USER/NAME/VERSION
			paths = []string{prefix + "/*", prefix + "/*/*"}
		}
		for _, path := range paths {
			for verb := range rt.verbs {
				key := verb + " " + path
				there[key] = true
				op, ok := ops[key]
				if !ok {
					t.Errorf("%s is not described", key)
					continue
				}
				if open := op.Security != nil && len(*op.Security) == 0; open != rt.open {
					t.Errorf("%s needs no authentication: %v, described as %v", key, rt.open, open)
				}
				_, structured := op.Responses["200"].Content[formJSON]
				if _, csv := op.Responses["200"].Content["text/csv"]; structured == rt.text && !csv && path != "/openapi.json" && !strings.HasSuffix(path, "/error") {
					t.Errorf("%s answers in text: %v, described as structured: %v", key, rt.text, structured)
				}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ops)) {
		if !there[key] {
			t.Errorf("%s is described and does not exist", key)
		}
	}
}

func TestTheDescriptionIsInTheDocumentation(t *testing.T) {
	const file = "../../../docs/openapi.json"
	if *update {
		if err := os.WriteFile(file, openAPIDocument, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, openAPIDocument) {
		t.Errorf("%s is not the description (%v); run the test with -update", file, err)
	}
	w := newRig(t).call("", "GET", "/openapi.json", "")
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), openAPIDocument) || w.Header().Get("Content-Type") != formJSON {
		t.Errorf("GET /openapi.json = %d %s", w.Code, w.Header())
	}
}

// compiler resolves the schemas of the description: those of OpenAPI 3.1 are JSON Schema 2020-12.
var compiler = sync.OnceValue(func() *jsonschema.Compiler {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPIDocument))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", doc); err != nil {
		panic(err)
	}
	return c
})

func TestSchemasCompile(t *testing.T) {
	var d struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(openAPIDocument, &d); err != nil {
		t.Fatal(err)
	}
	for name := range d.Components.Schemas {
		if _, err := compiler().Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// conforms checks an answer against the description. It is asked for every answer
// that the tests of this package get.
func conforms(t *testing.T, verb, target string, w *httptest.ResponseRecorder) {
	t.Helper()
	key := operationOf(verb, target)
	if key == "" || verb == "HEAD" || w.Header().Get("Content-Encoding") != "" || w.Code == 404 || w.Code == 405 {
		return
	}
	ops, places := operations()
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if w.Code != 200 {
		response := ops[key].Responses[strconv.Itoa(w.Code)]
		if response.Ref == "" {
			response = ops[key].Responses["default"]
		}
		if response.Ref == "" || kind != "text/plain" {
			t.Errorf("%s: %d in %s is not described", key, w.Code, kind)
		}
		if _, coded := w.Header()["X-Application-Error-Code"]; w.Code == 400 && !coded && !strings.HasPrefix(w.Body.String(), "Bad Request") {
			t.Errorf("%s: 400 without a code: %s", key, w.Body)
		}
		return
	}
	if w.Body.Len() == 0 { // dry_run, and nothing to tell
		return
	}
	if _, ok := ops[key].Responses["200"].Content[kind]; !ok {
		t.Errorf("%s: an answer in %s is not described", key, kind)
		return
	}
	if kind != formJSON {
		return
	}
	schema, err := compiler().Compile("openapi.json#" + places[key] + "/responses/200/content/application~1json/schema")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s %s does not answer as described: %v\n%s", verb, target, err, w.Body)
	}
}

// operationOf finds what the description calls a request; the path with the fewest variable parts wins.
func operationOf(verb, target string) string {
	path, _, _ := strings.Cut(target, "?")
	var parts []string
	for p := range strings.SplitSeq(path, "/") {
		if p, err := url.QueryUnescape(p); p != "" && err == nil {
			parts = append(parts, p)
		}
	}
	ops, _ := operations()
	best, fewest := "", 100
	for key := range ops {
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

func TestAnswersThatAreNotAsDescribedAreFound(t *testing.T) {
	for body, want := range map[string]bool{`["lab"]`: true, `{"a":1}`: false, `[3]`: false} {
		probe := new(testing.T)
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", formJSON)
		w.Body.WriteString(body)
		conforms(probe, "GET", "/clusters", w)
		if probe.Failed() == want {
			t.Errorf("%s: conforms %v", body, !probe.Failed())
		}
	}
	if diff := cmp.Diff("GET /stats/summary", operationOf("GET", "/stats/summary/?x=1")); diff != "" {
		t.Error(diff)
	}
}
