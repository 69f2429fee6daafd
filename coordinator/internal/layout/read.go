package layout

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/tree"
)

// Limits, those of the agent that makes the partitions.
const (
	maxLabel = 20
	maxParts = 128
)

var (
	labelForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	guidForm  = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	diskForm  = regexp.MustCompile(`^(disk[0-9]{1,3}|/dev/[\w/:.+@-]+)$`)
	// Arguments and options become words of command lines and of /etc/fstab.
	wordsForm   = regexp.MustCompile(`^[\w=,.:/+ ^-]*$`)
	optionsForm = regexp.MustCompile(`^[\w=,.:/+^-]*$`)

	types       = []string{Linux, Swap, ESP, BIOS}
	filesystems = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", vfat, Swap}
	// The kernel's own file systems are mounted there.
	reserved = []string{"/dev", "/proc", "/sys", "/run"}
)

// IsDisk tells whether a text can name a disk: by its id, or as a device.
func IsDisk(text string) bool { return diskForm.MatchString(text) }

// Read reads a list of parts; nil if it is absent. root is the label of the part
// that is deployed on; if it is empty, that is the part with the mount point /.
// What is wrong is noted in the document.
func Read(n *tree.Node, root string) []Part {
	items := n.Items()
	if n.Exists() && len(items) == 0 {
		n.Fail("There is no partition: give at least one, or leave the field out for the cluster's own scheme")
	}
	r := reader{root: root, labels: map[string]bool{}, mounts: map[string]bool{}, disks: map[string]*usage{}}
	for _, item := range items {
		r.parts = append(r.parts, r.part(item))
	}
	if len(items) > 0 {
		r.whole(n)
	}
	return r.parts
}

type reader struct {
	root   string
	parts  []Part
	labels map[string]bool
	mounts map[string]bool
	disks  map[string]*usage
}

// usage is what the parts of one disk take of it.
type usage struct {
	count   int
	numbers map[int]bool
	rest    bool
	percent uint32
}

func (r *reader) part(n *tree.Node) Part {
	p := Part{
		Disk:       n.Get("disk").String(""),
		Label:      n.Get("label").Must().String(""),
		Type:       n.Get("type").String(Linux),
		Filesystem: n.Get("filesystem").String(""),
		Mkfs:       n.Get("mkfs").String(""),
		Mount:      n.Get("mount").String(""),
		Options:    n.Get("options").String(""),
	}
	if p.Disk != "" && !IsDisk(p.Disk) {
		n.Get("disk").Fail("Invalid value '%s', it must be the id of a disk, as in disk1, or a device, as in /dev/sdb", p.Disk)
	}
	r.label(n.Get("label"), p.Label)
	if !slices.Contains(types, p.Type) && !guidForm.MatchString(p.Type) {
		n.Get("type").Fail("Invalid value '%s', allowed values are: %s, or the GUID of a partition type", p.Type, strings.Join(types, ", "))
	}
	p.Number, p.Size = r.place(n, p)
	r.content(n, &p)
	return p
}

func (r *reader) label(n *tree.Node, label string) {
	switch {
	case label == "":
	case len(label) > maxLabel || !labelForm.MatchString(label):
		n.Fail("Invalid value '%s', a label has at most %d letters, digits, - and _", label, maxLabel)
	case r.labels[label]:
		n.Fail("The label '%s' is given twice", label)
	}
	r.labels[label] = true
}

// place is the part's number and size, which must fit beside the other parts of its disk.
func (r *reader) place(n *tree.Node, p Part) (number int, size Size) {
	d := r.disks[p.Disk]
	if d == nil {
		d = &usage{numbers: map[int]bool{}}
		r.disks[p.Disk] = d
	}
	d.count++
	number = n.Get("number").Int(d.count)
	switch {
	case number < 1 || number > maxParts:
		n.Get("number").Fail("Invalid value '%d', it must be from 1 to %d", number, maxParts)
	case d.numbers[number]:
		n.Get("number").Fail("The number %d is given twice; without a number a partition has its place in the list", number)
	}
	d.numbers[number] = true
	field := n.Get("size").Must()
	text := field.Text(rest)
	size, err := ParseSize(text)
	before := d.percent
	d.percent += size.Percent
	switch {
	case err != nil:
		field.Fail("Invalid value '%s', %v", text, err)
	case size.Rest() && d.rest:
		field.Fail("Only one partition of a disk can have what is left: give a size")
	case before <= Whole && d.percent > Whole:
		field.Fail("The shares of the disk add up to more than 100 %%: make one smaller")
	}
	d.rest = d.rest || err == nil && size.Rest()
	return number, size
}

// content checks what is made of the partition, and fills in what its type says.
func (r *reader) content(n *tree.Node, p *Part) {
	isRoot := p.Mount == Root || r.root != "" && p.Label == r.root
	fs := n.Get("filesystem")
	switch {
	case p.Filesystem != "" && !slices.Contains(filesystems, p.Filesystem):
		fs.Fail("Invalid value '%s', allowed values are: %s", p.Filesystem, strings.Join(filesystems, ", "))
	case isRoot && r.root == "" && p.Disk != "":
		n.Get("disk").Fail("The partition that is mounted on / lies on the disk that is deployed on, which is chosen with -b: leave the field out")
	case isRoot && p.Filesystem != "":
		fs.Fail("The file system that is deployed on is the environment's: leave the field out")
	case isRoot && p.Type != Linux && !guidForm.MatchString(p.Type):
		n.Get("type").Fail("Nothing can be deployed on a partition of type %s: use linux", p.Type)
	case p.Type == BIOS && p.Filesystem != "":
		fs.Fail("A partition of type bios holds no file system: leave the field out")
	case p.Type == Swap && p.Filesystem != "" && p.Filesystem != Swap, p.Type == Linux && p.Filesystem == Swap:
		fs.Fail("A file system %s does not go with the type %s", p.Filesystem, p.Type)
	case p.Type == ESP && p.Filesystem != "" && p.Filesystem != vfat:
		fs.Fail("Firmware reads only vfat: use it, or another type")
	}
	if implied := map[string]string{Swap: Swap, ESP: vfat}[p.Type]; p.Filesystem == "" && implied != "" {
		p.Filesystem = implied
	}
	if r.root != "" && isRoot && p.Mount == "" {
		p.Mount = Root
	}
	r.mount(n, p)
	if p.Mkfs != "" && p.Filesystem == "" && !isRoot {
		n.Get("mkfs").Fail("There is no file system to make: give 'filesystem'")
	}
	if !wordsForm.MatchString(p.Mkfs) {
		n.Get("mkfs").Fail("Invalid value '%s', arguments have letters, digits, spaces and = , . : / + - ^ only", p.Mkfs)
	}
	if !optionsForm.MatchString(p.Options) {
		n.Get("options").Fail("Invalid value '%s', options have letters, digits and = , . : / + - ^ only", p.Options)
	}
}

func (r *reader) mount(n *tree.Node, p *Part) {
	m := n.Get("mount")
	if p.Mount == "" {
		if p.Options != "" {
			n.Get("options").Fail("There is nothing to mount: give 'mount'")
		}
		return
	}
	switch {
	case !path.IsAbs(p.Mount) || path.Clean(p.Mount) != p.Mount || strings.ContainsAny(p.Mount, " \t\n\\#"):
		m.Fail("Invalid value '%s', it must be a path from / on, without //, .., spaces or a / at its end", p.Mount)
	case slices.ContainsFunc(reserved, func(dir string) bool { return p.Mount == dir || strings.HasPrefix(p.Mount, dir+"/") }):
		m.Fail("Nothing of a disk can be mounted on %s: the kernel's file systems are there", p.Mount)
	case p.Mount == Root && r.root != "" && p.Label != r.root:
		m.Fail("The partition '%s', which is deployed on, is mounted on /: choose another mount point", r.root)
	case p.Mount != Root && r.root != "" && p.Label == r.root:
		m.Fail("The partition '%s' is deployed on: it is mounted on /", r.root)
	case r.mounts[p.Mount]:
		m.Fail("The mount point %s is given twice", p.Mount)
	case p.Mount != Root && (p.Filesystem == "" || p.Filesystem == Swap):
		m.Fail("A partition without a file system cannot be mounted: give 'filesystem'")
	}
	r.mounts[p.Mount] = true
}

// whole checks what only all parts together show.
func (r *reader) whole(n *tree.Node) {
	switch {
	case r.root != "" && !r.labels[r.root]:
		n.Fail("No partition has the label '%s', which is deployed on", r.root)
	case r.root == "" && !r.mounts[Root]:
		n.Fail("No partition is mounted on /: give 'mount: /' to the one that is deployed on")
	case r.root == "":
		if p, _ := RootOf(r.parts); p.Label == "" {
			n.Fail("The partition that is mounted on / needs a label")
		}
	}
	for _, disk := range Disks(r.parts) {
		if d := r.disks[disk]; d.percent == Whole && (d.rest || slices.ContainsFunc(On(r.parts, disk), func(p Part) bool { return p.Size.Bytes > 0 })) {
			n.Fail("The shares of %s add up to 100 %%, which leaves no room for its other partitions: make one smaller", nameOf(disk))
		}
	}
}

func nameOf(disk string) string {
	if disk == "" {
		return "the disk"
	}
	return disk
}
