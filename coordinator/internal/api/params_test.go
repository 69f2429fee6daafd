package api

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMergeQuery(t *testing.T) {
	body, err := decodeBody("application/json; charset=utf-8", []byte(`{"a":1,"b":[2],"c":false,"d":null}`))
	if err != nil {
		t.Fatal(err)
	}
	query, _ := url.ParseQuery("a=x&e=1&e=2&last&=z")
	p := &params{values: mergeQuery(body, query)}
	if got := p.text("a"); got != "x" {
		t.Errorf("the query wins: a = %q", got)
	}
	if got := p.list("e"); !cmp.Equal(got, []string{"1", "2"}) {
		t.Errorf("repeated key = %v", got)
	}
	if got := p.list("b"); !cmp.Equal(got, []string{"2"}) {
		t.Errorf("list of a number = %v", got)
	}
	for name, want := range map[string]bool{"a": true, "c": false, "d": true, "last": true, "none": false} {
		if got := p.set(name); got != want {
			t.Errorf("set(%s) = %v, want %v", name, got, want)
		}
	}
	if p.integer("none", 7) != 7 || p.err() != nil {
		t.Errorf("error: %v", p.err())
	}
}

func FuzzParams(f *testing.F) {
	f.Add("application/json", `{"nodes":["a"],"version":"3","environment":{"kind":"anonymous"}}`, "last=true&x=1&x=2")
	f.Add("application/x-yaml", "a: &a [*a]\n? [1]\n: 2\n", "?&&=%20")
	f.Add("text/yaml", "a: {<<: {b: 1}}\n.nan: .inf\nd: 2020-01-01", "")
	f.Fuzz(func(t *testing.T, contentType, body, query string) {
		values, err := decodeBody(contentType, []byte(body))
		if err != nil {
			return
		}
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		p := &params{values: mergeQuery(values, q)}
		for name := range p.values {
			p.text(name)
			p.integer(name, 0)
			p.list(name)
			p.textMap(name)
			p.set(name)
			p.within(name, func(in *params) { instances(in, "BroadcastEnv", "BroadcastEnv") })
		}
		for key, all := range q {
			if key != "" && len(all) == 1 && p.values[key] != all[0] {
				t.Errorf("the query does not win: %q", key)
			}
		}
	})
}
