package cli

import "testing"

func TestParseEnvRef(t *testing.T) {
	tests := []struct {
		in   string
		want envRef
	}{
		{"debian12-min", envRef{"debian12-min", "", ""}},
		{"debian12-min:2024070516", envRef{"debian12-min", "2024070516", ""}},
		{"debian12-min@deploy", envRef{"debian12-min", "", "deploy"}},
		{"debian12-min:3@deploy", envRef{"debian12-min", "3", "deploy"}},
		{"a:b", envRef{"a:b", "", ""}},
		{"a b:c:3", envRef{"a b:c", "3", ""}},
		{"@x", envRef{"@x", "", ""}},
		{"x@", envRef{"x@", "", ""}},
		{":3", envRef{":3", "", ""}},
		{"é#%_@ü", envRef{"é#%_", "", "ü"}},
	}
	for _, tt := range tests {
		if got := parseEnvRef(tt.in); got != tt.want {
			t.Errorf("parseEnvRef(%q) = %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func FuzzParseEnvRef(f *testing.F) {
	f.Add("debian12-min:3@deploy")
	f.Add("@:@:1")
	f.Fuzz(func(t *testing.T, text string) {
		r := parseEnvRef(text)
		back := r.name
		if r.version != "" {
			back += ":" + r.version
		}
		if r.owner != "" {
			back += "@" + r.owner
		}
		if back != text || text != "" && r.name == "" {
			t.Errorf("parseEnvRef(%q) = %+v", text, r)
		}
	})
}
