package env

import (
	"cmp"
	"fmt"
	"strings"

	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/tree"
)

// Parse reads a description in YAML. Its error is an *Error.
func Parse(data []byte) (*Description, []Warning, error) {
	doc, err := tree.Parse(data)
	if err != nil {
		return nil, nil, &Error{Reason: err.Error()}
	}
	d, warnings, err := read(doc)
	if doc.Extra() {
		warnings = append(warnings, Warning{Text: "Only the first description of the file is used"})
	}
	return d, warnings, err
}

// FromMap reads a description out of the decoded body of a request. The field
// kind, with which a request tells an anonymous environment from a recorded one,
// is not part of the description and is ignored. Its error is an *Error.
func FromMap(m map[string]any) (*Description, []Warning, error) {
	doc := tree.FromMap(m)
	doc.Root().Get("kind")
	return read(doc)
}

func read(doc *tree.Document) (*Description, []Warning, error) {
	d := description(doc.Root())
	var list []*Error
	for _, p := range doc.Problems() {
		list = append(list, &Error{Field: p.Path, Reason: p.Reason})
	}
	if err := joined(append(list, d.problems()...)); err != nil {
		return nil, nil, err
	}
	return d, append(unused(doc), d.doubts()...), nil
}

func unused(doc *tree.Document) []Warning {
	var warnings []Warning
	for _, u := range doc.Unused() {
		warnings = append(warnings, Warning{Field: u.Path, Text: fmt.Sprintf("Unused field '%s'", u.Path)})
	}
	return warnings
}

func description(n *tree.Node) *Description {
	// The registry's own fields: a printed environment may be registered again.
	n.Get("user")
	n.Get("created_at")
	d := &Description{
		Name:          n.Get("name").Must().String(""),
		Version:       n.Get("version").Int(1),
		Arch:          n.Get("arch").String(""),
		Alias:         n.Get("alias").String(""),
		Description:   n.Get("description").String(""),
		Author:        n.Get("author").String(""),
		Visibility:    n.Get("visibility").String("private"),
		Destructive:   n.Get("destructive").Bool(false),
		OS:            n.Get("os").Must().String(""),
		Image:         image(n.Get("image").Must()),
		Boot:          boot(n.Get("boot")),
		Filesystem:    n.Get("filesystem").String(""),
		PartitionType: n.Get("partition_type").Int(0),
		Multipart:     n.Get("multipart").Bool(false),
		Options:       options(n.Get("options")),
	}
	if pre := n.Get("preinstall"); pre.Exists() {
		a := archive(pre)
		d.Preinstall = &a
	}
	for _, post := range n.Get("postinstalls").Items() {
		d.Postinstalls = append(d.Postinstalls, archive(post))
	}
	variables := n.Get("custom_variables")
	for _, key := range variables.Keys() {
		if d.CustomVariables == nil {
			d.CustomVariables = make(map[string]string)
		}
		d.CustomVariables[key] = variables.Get(key).Text("")
	}
	return d
}

func image(n *tree.Node) Image {
	if !n.Exists() {
		return Image{} // one problem is enough: the map itself is missing
	}
	return Image{
		File:        n.Get("file").Must().String(""),
		Kind:        n.Get("kind").Must().String(""),
		Compression: compression(n),
	}
}

// compression is a name, or for fsarchiver a level, which is a number and need not be given.
func compression(n *tree.Node) string {
	c := n.Get("compression")
	if n.Get("kind").String("") == kindFSA {
		return c.Text("0")
	}
	return c.Must().String("")
}

func archive(n *tree.Node) Archive {
	return Archive{
		Archive:     n.Get("archive").Must().String(""),
		Compression: n.Get("compression").Must().String(""),
		Script:      cmp.Or(folded(n.Get("script")), "none"),
	}
}

// folded is a command line, which may be written as a block of lines (> or |) and then ends in a line break.
func folded(n *tree.Node) string { return strings.TrimSpace(n.String("")) }

func boot(n *tree.Node) Boot {
	return Boot{
		Kernel:           n.Get("kernel").String(""),
		Initrd:           n.Get("initrd").String(""),
		KernelParams:     folded(n.Get("kernel_params")),
		Hypervisor:       n.Get("hypervisor").String(""),
		HypervisorParams: folded(n.Get("hypervisor_params")),
		BlockDevice:      n.Get("block_device").String(""),
		Partition:        n.Get("partition").Int(0),
	}
}

func options(n *tree.Node) Options {
	var o Options
	for _, p := range n.Get("partitions").Items() {
		o.Partitions = append(o.Partitions, Partition{
			ID:     p.Get("id").Must().Int(0),
			Device: p.Get("device").Must().String(""),
		})
	}
	o.Layout = layout.Read(n.Get("layout"), "")
	o.Kexec = choice(n.Get("kexec"))
	o.TrustPreviousEnv = choice(n.Get("trust_previous_env"))
	return o
}

func choice(n *tree.Node) *bool {
	if !n.Exists() {
		return nil
	}
	b := n.Bool(false)
	return &b
}
