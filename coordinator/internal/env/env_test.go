package env

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/apperr"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func inputs(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("descriptions in testdata: %v, %v", files, err)
	}
	all := make(map[string][]byte)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = data
	}
	return all
}

// TestGolden parses each description of testdata and compares what is printed,
// with the warnings in front, to the golden file beside it.
func TestGolden(t *testing.T) {
	for file, data := range inputs(t) {
		d, warnings, err := Parse(data)
		if err != nil {
			t.Errorf("Parse(%s): %v", file, err)
			continue
		}
		var got bytes.Buffer
		for _, w := range warnings {
			got.WriteString("# " + w.String() + "\n")
		}
		printed, err := d.Print()
		if err != nil {
			t.Fatal(err)
		}
		got.Write(printed)
		golden := strings.TrimSuffix(file, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("Parse and Print of %s (-want +got):\n%s", file, diff)
		}
	}
}

// TestRoundTrip checks that nothing is lost in YAML, nor in the API's JSON.
func TestRoundTrip(t *testing.T) {
	for file, data := range inputs(t) {
		d, _, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		checkRoundTrip(t, file, d)
	}
}

func checkRoundTrip(t *testing.T, name string, d *Description) {
	t.Helper()
	printed, err := d.Print()
	if err != nil {
		t.Fatal(err)
	}
	again, warnings, err := Parse(printed)
	if err != nil {
		t.Fatalf("%s: Parse of what was printed: %v\n%s", name, err, printed)
	}
	if diff := cmp.Diff(d, again); diff != "" {
		t.Errorf("%s: after Print and Parse (-want +got):\n%s", name, diff)
	}
	for _, w := range warnings {
		if strings.HasPrefix(w.Text, "Unused field") {
			t.Errorf("%s: Print wrote a field that Parse does not use: %v", name, w)
		}
	}
	encoded, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(encoded, &m); err != nil {
		t.Fatal(err)
	}
	m["kind"], m["user"] = "anonymous", "me"
	fromJSON, warnings, err := FromMap(m)
	if err != nil {
		t.Fatalf("%s: FromMap of its JSON: %v\n%s", name, err, encoded)
	}
	if diff := cmp.Diff(d, fromJSON); diff != "" {
		t.Errorf("%s: after JSON and FromMap (-want +got):\n%s", name, diff)
	}
	if len(warnings) > 0 && d.doubts() == nil {
		t.Errorf("%s: FromMap warns %v", name, warnings)
	}
}

const minimal = `name: x
os: linux
image: {file: "server:///x.tgz", kind: tar, compression: gzip}
boot: {kernel: /vmlinuz}
filesystem: ext4
`

func TestErrors(t *testing.T) {
	type edit struct{ old, new string }
	tests := map[string]struct {
		edit edit
		want string
	}{
		"no name":            {edit{"name: x\n", ""}, "The field is mandatory [field: name]"},
		"null name":          {edit{"name: x", "name:"}, "The field is mandatory [field: name]"},
		"name is a number":   {edit{"name: x", "name: 12"}, "Wrong type, the field must be a string [field: name]"},
		"name of two lines":  {edit{"name: x", `name: "x\ny"`}, "Invalid value, it contains line breaks or control characters [field: name]"},
		"no os":              {edit{"os: linux\n", ""}, "The field is mandatory [field: os]"},
		"unknown os":         {edit{"os: linux", "os: bsd"}, "Invalid value 'bsd', allowed values are: linux, xen, other [field: os]"},
		"xen":                {edit{"os: linux", "os: xen"}, "The field is mandatory [field: boot/hypervisor]"},
		"version is text":    {edit{"os:", "version: one\nos:"}, "Wrong type, the field must be an integer [field: version]"},
		"negative version":   {edit{"os:", "version: -1\nos:"}, "Invalid value '-1', allowed values are: whole numbers from 0 on [field: version]"},
		"unknown arch":       {edit{"os:", "arch: vax\nos:"}, "Invalid value 'vax', allowed values are: x86_64, ppc64le, aarch64 [field: arch]"},
		"visibility":         {edit{"os:", "visibility: open\nos:"}, "Invalid value 'open', allowed values are: public, private, shared [field: visibility]"},
		"destructive":        {edit{"os:", "destructive: maybe\nos:"}, "Wrong type, the field must be a boolean (true or false) [field: destructive]"},
		"no image":           {edit{"image:", "picture:"}, "The field is mandatory [field: image]"},
		"image is text":      {edit{`{file: "server:///x.tgz", kind: tar, compression: gzip}`, "x.tgz"}, "Wrong type, the field must be a map [field: image]"},
		"no file":            {edit{"file:", "fil:"}, "The field is mandatory [field: image/file]"},
		"kind":               {edit{"kind: tar", "kind: zip"}, "Invalid value 'zip', allowed values are: tar, dd, fsa [field: image/kind]"},
		"no compression":     {edit{", compression: gzip", ""}, "The field is mandatory [field: image/compression]"},
		"compression":        {edit{"gzip", "rar"}, "Invalid value 'rar', allowed values are: gzip, bzip2, xz, zstd, lz4, none [field: image/compression]"},
		"level of fsa":       {edit{"tar, compression: gzip", "fsa, compression: 10"}, "Invalid value '10', allowed values are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 [field: image/compression]"},
		"no kernel":          {edit{"kernel: /vmlinuz", ""}, "The field is mandatory [field: boot/kernel]"},
		"no filesystem":      {edit{"filesystem: ext4", ""}, "The field is mandatory [field: filesystem]"},
		"partition type":     {edit{"os:", "partition_type: 0x183\nos:"}, "Invalid value '387', allowed values are: 0 to 255 [field: partition_type]"},
		"post without file":  {edit{"os:", "postinstalls: [{compression: gzip}]\nos:"}, "The field is mandatory [field: postinstalls/0/archive]"},
		"posts are a map":    {edit{"os:", "postinstalls: {archive: x}\nos:"}, "Wrong type, the field must be a list [field: postinstalls]"},
		"pre compression":    {edit{"os:", "preinstall: {archive: x, compression: no}\nos:"}, "Invalid value 'no', allowed values are: gzip, bzip2, xz, zstd, lz4, none [field: preinstall/compression]"},
		"layout, no root":    {edit{"os:", "options: {layout: [{label: A, size: rest}]}\nos:"}, "No partition is mounted on /: give 'mount: /' to the one that is deployed on [field: options/layout]"},
		"layout, a size":     {edit{"os:", "options: {layout: [{label: A, size: 5, mount: /}]}\nos:"}, "Invalid value '5', it must be a size with its unit, as in 512MiB, 4GB or 4GiB, a share of the disk, as in 25%, or rest [field: options/layout/0/size]"},
		"multipart":          {edit{"os:", "multipart: true\nos:"}, "The field is mandatory [field: boot/block_device]\nError[environment description] The field is mandatory [field: boot/partition]\nError[environment description] The field is mandatory [field: options/partitions]"},
		"multipart, no part": {edit{"boot: {", "multipart: true\nboot: {block_device: disk0, "}, "The field is mandatory [field: boot/partition]\nError[environment description] The field is mandatory [field: options/partitions]"},
		"multipart, no list": {edit{"boot: {", "multipart: true\nboot: {block_device: disk0, partition: 1, "}, "The field is mandatory [field: options/partitions]"},
		"same id":            {edit{"os:", "options: {partitions: [{id: 1, device: a}, {id: 1, device: b}]}\nos:"}, "Duplicate partition, the id 1 is already used [field: options/partitions/1/id]"},
		"same device":        {edit{"os:", "options: {partitions: [{id: 1, device: a}, {id: 2, device: a}]}\nos:"}, "Duplicate partition, the device a is already used [field: options/partitions/1/device]"},
		"reserved variable":  {edit{"os:", "custom_variables: {ENV_KERNEL: x}\nos:"}, "the custom variable 'ENV_KERNEL' would replace the reserved KADEPLOY_ENV_KERNEL: use another name [field: custom_variables/ENV_KERNEL]"},
		"variable's name":    {edit{"os:", "custom_variables: {a-b: x}\nos:"}, "invalid name 'a-b' of a custom variable: use letters, digits and underscores [field: custom_variables/a-b]"},
		"given twice":        {edit{"os: linux", "os: linux\nos: linux"}, "The field is given twice [field: os]"},
		"open quote":         {edit{"os:", `postinstalls: [{archive: x, compression: gzip, script: "a 'b"}]` + "\nos:"}, `Invalid value, the quote ' is not closed: close it, or write \' for the character itself [field: postinstalls/0/script]`},
	}
	for name, test := range tests {
		text := strings.Replace(minimal, test.edit.old, test.edit.new, 1)
		if text == minimal {
			t.Errorf("%s: the test's edit changes nothing", name)
		}
		_, _, err := Parse([]byte(text))
		if err == nil {
			t.Errorf("%s: Parse accepted\n%s", name, text)
			continue
		}
		if got, want := err.Error(), "Error[environment description] "+test.want; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
		if code, ok := apperr.Of(err); !ok || code != apperr.InvalidEnvironment {
			t.Errorf("%s: code %v, want %v", name, code, apperr.InvalidEnvironment)
		}
	}
}

// A description is corrected once, not once for each of its mistakes.
func TestAllErrors(t *testing.T) {
	text := "name: x\nversion: one\nvisibility: open\nimage: {file: '', kind: zip, compression: gzip}\n" +
		"postinstalls: [{archive: x, compression: no, script: 'a \"b'}, {compression: gzip}]\n" +
		"multipart: true\ncustom_variables: {a-b: x, ENV: y}\n"
	_, _, err := Parse([]byte(text))
	if err == nil {
		t.Fatal("Parse accepted it")
	}
	want := []string{
		"The field is mandatory [field: os]",
		"Wrong type, the field must be an integer [field: version]",
		"The field is mandatory [field: postinstalls/1/archive]",
		"Invalid value 'open', allowed values are: public, private, shared [field: visibility]",
		"The field is mandatory [field: image/file]",
		"Invalid value 'zip', allowed values are: tar, dd, fsa [field: image/kind]",
		"Invalid value 'no', allowed values are: gzip, bzip2, xz, zstd, lz4, none [field: postinstalls/0/compression]",
		`Invalid value, the quote " is not closed: close it, or write \" for the character itself [field: postinstalls/0/script]`,
		"The field is mandatory [field: boot/block_device]",
		"The field is mandatory [field: boot/partition]",
		"The field is mandatory [field: options/partitions]",
		"the custom variable 'ENV' would replace the reserved KADEPLOY_ENV: use another name [field: custom_variables/ENV]",
		"invalid name 'a-b' of a custom variable: use letters, digits and underscores [field: custom_variables/a-b]",
	}
	got := strings.Split(strings.ReplaceAll(err.Error(), "Error[environment description] ", ""), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what Parse says (-want +got):\n%s", diff)
	}
	if many := strings.Repeat(", {}", 100); strings.Count(fmt.Sprint(parseError(minimal+"postinstalls: [{}"+many+"]\n")), "\n") != mostProblems-1 {
		t.Error("more problems are told than anybody reads")
	}
}

func parseError(text string) error {
	_, _, err := Parse([]byte(text))
	return err
}

func TestNotYAML(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"tab":    {"name: x\nimage:\n\tkind: tar\n", "line 3 is indented with a tab: use spaces"},
		"binary": {"\x1f\x8b\x08\x00", "invalid YAML"},
		"list":   {"- a\n- b\n", "Wrong type, the field must be a map"},
		"text":   {"hello", "Wrong type, the field must be a map"},
		"empty":  {"", "The field is mandatory [field: name]"},
		"circle": {"a: &a {<<: *a}\n<<: *a\nname: x\n", "Too many merged maps"},
	} {
		_, _, err := Parse([]byte(test.text))
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Parse: %v, want an *Error with %q", name, err, test.want)
		}
	}
}

func TestReservedVariables(t *testing.T) {
	for _, key := range ReservedVariables() {
		if CheckVariable(key, "x") == nil {
			t.Errorf("the reserved variable %s is accepted", key)
		}
	}
	if err := CheckVariable("BOOTLOADER_SHOW_MENU", "1"); err != nil {
		t.Errorf("BOOTLOADER_SHOW_MENU: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, data := range inputs(f) {
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, _, err := Parse(data)
		if err != nil {
			var wrong *Error
			if !errors.As(err, &wrong) {
				t.Fatalf("Parse returned %T: %v", err, err)
			}
			return
		}
		checkRoundTrip(t, "input", d)
	})
}

func FuzzFromMap(f *testing.F) {
	f.Add([]byte(`{"name":"x","os":"linux","version":1e3,"image":{"file":"x","kind":"dd","compression":"gzip"},"postinstalls":[null,{"a":[]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m map[string]any
		if json.Unmarshal(data, &m) != nil {
			return
		}
		if d, _, err := FromMap(m); err == nil {
			checkRoundTrip(t, "input", d)
		}
	})
}
