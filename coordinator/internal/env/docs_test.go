package env

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The descriptions that the documentation prints are taken without a warning, and it
// has all fields that there are.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/environments.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) < 3 {
		t.Fatalf("%d examples were found", len(examples))
	}
	for _, e := range examples {
		if _, warnings, err := Parse([]byte(e[1])); err != nil || len(warnings) > 0 {
			t.Errorf("%v, %v of\n%s", err, warnings, e[1])
		}
	}
	var check func(of reflect.Type)
	check = func(of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "-" {
				continue
			}
			if !strings.Contains(string(text), name) {
				t.Errorf("docs/environments.md does not have the field %s", name)
			}
			if f.Type.Kind() == reflect.Struct {
				check(f.Type)
			}
		}
	}
	check(reflect.TypeFor[Description]())
}
