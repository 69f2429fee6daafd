package store

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppendNumbers(t *testing.T) {
	for text, want := range map[string][]float64{
		"[]": {}, " [ ] ": {}, "[1]": {1}, "[1.5, 2e3,-0.25]": {1.5, 2000, -0.25},
		"": nil, "1": nil, "[1": nil, "[,]": nil, "[1,]": nil, `["a"]`: nil, "[[1]]": nil,
	} {
		got, err := appendNumbers([]float64{}, []byte(text))
		if (err != nil) != (want == nil) {
			t.Errorf("%q: %v", text, err)
		} else if want != nil && cmp.Diff(want, got) != "" {
			t.Errorf("%q = %v, want %v", text, got, want)
		}
	}
}

// FuzzAppendNumbers reads what json.Marshal writes as it is.
func FuzzAppendNumbers(f *testing.F) {
	f.Add(1.0, -2.5, 1e-9)
	f.Fuzz(func(t *testing.T, a, b, c float64) {
		want := []float64{a, b, c}
		text, err := json.Marshal(want)
		if err != nil {
			return // not a number, and infinity
		}
		got, err := appendNumbers(nil, text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	})
}
