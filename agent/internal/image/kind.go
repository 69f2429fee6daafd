package image

import "kadeploy/agent/internal/fault"

// kindHead is as much of an image's content as it takes to tell what it is: up to
// the descriptor of an ISO 9660 file system.
const kindHead = 0x8006

// mark is what is found at a place in images of some kind.
type mark struct {
	at    int
	magic string
	kind  string // the kind that descriptions have for it; empty: none
	what  string
}

// marks are in the order in which they are looked for: the surest first. Magic
// numbers are those of file(1), the kernel's file systems and UEFI.
var marks = [...]mark{
	{tarMagicAt, "ustar", "tar", "a tar archive"},
	{0, "FsA0", "fsa", "an archive of fsarchiver"},
	{0, "070701", "", "a cpio archive"},
	{0, "070702", "", "a cpio archive"},
	{0, "070707", "", "a cpio archive"},
	{0, "PK\x03\x04", "", "a zip archive"},
	{0, "!<arch>\n", "", "an ar archive, perhaps a Debian package"},
	{0, "QFI\xfb", "", "a qcow2 image (qemu-img convert -O raw makes one for dd of it)"},
	{0, "KDMV", "", "a VMDK image (qemu-img convert -O raw makes one for dd of it)"},
	{512, "EFI PART", "dd", "the image of a disk with a GPT"},
	{0x438, "\x53\xef", "dd", "the image of an ext file system"},
	{0, "XFSB", "dd", "the image of an XFS file system"},
	{0, "hsqs", "dd", "the image of a squashfs file system"},
	{0x8001, "CD001", "dd", "an ISO 9660 image"},
	{510, "\x55\xaa", "dd", "the image of a disk, or of a FAT file system"},
}

// expectKind refuses decoded content that is surely not of the kind that the
// description says. What looks like nothing at all is taken for what it is said to be.
func expectKind(kind string, head []byte) error {
	for _, m := range marks {
		if len(head) < m.at+len(m.magic) || string(head[m.at:m.at+len(m.magic)]) != m.magic {
			continue
		}
		switch m.kind {
		case kind:
			return nil
		case "":
			return fault.Invalidf("the description says that the image is of kind %s, but its content is %s: correct image.file", kind, m.what)
		}
		return fault.Invalidf("the description says that the image is of kind %s, but its content is %s: set image.kind to %s, or correct image.file", kind, m.what, m.kind)
	}
	if c := sniff(head); c != None {
		return fault.Invalidf("the image is compressed twice, the second time with %s: decompress the file once", c)
	}
	return nil
}
