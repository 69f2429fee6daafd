package api

import (
	"bytes"
	"flag"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/api/apitest"
	"kadeploy/coordinator/internal/cluster"
)

var update = flag.Bool("update", false, "rewrite docs/openapi.json")

// interfaceOf is the description of the interface.
var interfaceOf = sync.OnceValue(func() *apitest.Description {
	d, err := apitest.Parse(openAPIDocument)
	if err != nil {
		panic(err)
	}
	return d
})

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
	ops := interfaceOf().Operations
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

func TestSchemasCompile(t *testing.T) {
	for _, name := range interfaceOf().Schemas {
		if _, err := interfaceOf().Compile("/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// conforms checks an answer against the description. It is asked for every answer
// that the tests of this package get.
func conforms(t *testing.T, verb, target string, w *httptest.ResponseRecorder) {
	t.Helper()
	if err := interfaceOf().Conforms(verb, target, w.Code, w.Header(), w.Body.Bytes()); err != nil {
		t.Error(err)
	}
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
	if diff := cmp.Diff("GET /stats/summary", interfaceOf().OperationOf("GET", "/stats/summary/?x=1")); diff != "" {
		t.Error(diff)
	}
}
