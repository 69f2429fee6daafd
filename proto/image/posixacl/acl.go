// Package posixacl reads POSIX access control lists as tar archives carry them, in
// text, and writes them as the kernel takes them. Those who extract an archive and
// those who make a file system of it read it the same way. It does no I/O of its own.
package posixacl

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// version of the list in an extended attribute (linux/posix_acl_xattr.h).
const version = 2

// Tags of an entry.
const (
	UserObj  = 0x01
	User     = 0x02
	GroupObj = 0x04
	Group    = 0x08
	Mask     = 0x10
	Other    = 0x20
	NoID     = 0xffffffff
)

// ErrNamedID says that an ACL names a user or a group that the lookup does not know.
var ErrNamedID = errors.New("unknown name")

// Entry is one line of a list.
type Entry struct {
	Tag, Perm uint16 // Perm: read 4, write 2, execute 1
	ID        uint32 // of User and Group; else NoID
}

// Encode turns an ACL's text (acl(5), long or short form, as star and GNU tar
// store it in SCHILY.acl.*) into the value of the extended attribute. Names
// of users and groups are looked up with id, whose kind is User or Group; a name
// that it does not know is ErrNamedID.
func Encode(text string, id func(kind uint16, name string) (uint32, bool)) ([]byte, error) {
	entries, err := Parse(text, id)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint16(out, e.Tag)
		out = binary.LittleEndian.AppendUint16(out, e.Perm)
		out = binary.LittleEndian.AppendUint32(out, e.ID)
	}
	return out, nil
}

// Decode reads the value of an extended attribute.
func Decode(value []byte) ([]Entry, error) {
	if len(value) < 4 || (len(value)-4)%8 != 0 || binary.LittleEndian.Uint32(value) != version {
		return nil, errors.New("not an access control list of version 2")
	}
	entries := make([]Entry, 0, (len(value)-4)/8)
	for p := value[4:]; len(p) > 0; p = p[8:] {
		entries = append(entries, Entry{binary.LittleEndian.Uint16(p), binary.LittleEndian.Uint16(p[2:]), binary.LittleEndian.Uint32(p[4:])})
	}
	return entries, nil
}

// Parse reads an ACL's text; the entries are in the order that the kernel wants.
func Parse(text string, id func(kind uint16, name string) (uint32, bool)) ([]Entry, error) {
	var entries []Entry
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		item, _, _ = strings.Cut(item, "#")
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		e, err := parseEntry(item, id)
		if err != nil {
			return nil, fmt.Errorf("ACL entry %q: %w", item, err)
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.ID, b.ID))
	})
	return entries, nil
}

func parseEntry(item string, id func(uint16, string) (uint32, bool)) (Entry, error) {
	fields := strings.Split(item, ":")
	if len(fields) > 1 && (fields[0] == "default" || fields[0] == "d") {
		fields = fields[1:]
	}
	if len(fields) == 2 && (fields[0] == "other" || fields[0] == "o" || fields[0] == "mask" || fields[0] == "m") {
		fields = []string{fields[0], "", fields[1]} // Solaris writes "other:rwx"
	}
	if len(fields) < 3 {
		return Entry{}, errors.New("not TYPE:NAME:PERMISSIONS")
	}
	e := Entry{ID: NoID}
	named := fields[1] != ""
	switch fields[0] {
	case "user", "u":
		e.Tag = UserObj
		if named {
			e.Tag = User
		}
	case "group", "g":
		e.Tag = GroupObj
		if named {
			e.Tag = Group
		}
	case "mask", "m":
		e.Tag = Mask
	case "other", "o":
		e.Tag = Other
	default:
		return Entry{}, fmt.Errorf("unknown type %q", fields[0])
	}
	var err error
	if e.Perm, err = parsePerm(fields[2]); err != nil {
		return Entry{}, err
	}
	if e.Tag == User || e.Tag == Group {
		e.ID, err = resolveName(e.Tag, fields, id)
	}
	return e, err
}

// resolveName prefers the number that star puts into a fourth field.
func resolveName(kind uint16, fields []string, id func(uint16, string) (uint32, bool)) (uint32, error) {
	for _, s := range []string{strings.Join(fields[3:min(4, len(fields))], ""), fields[1]} {
		if n, err := strconv.ParseUint(s, 10, 32); err == nil {
			return uint32(n), nil
		}
	}
	if n, ok := id(kind, fields[1]); ok {
		return n, nil
	}
	return 0, fmt.Errorf("%w %q", ErrNamedID, fields[1])
}

func parsePerm(s string) (uint16, error) {
	var perm uint16
	for _, c := range s {
		switch c {
		case 'r':
			perm |= 4
		case 'w':
			perm |= 2
		case 'x':
			perm |= 1
		case '-':
		default:
			return 0, fmt.Errorf("unknown permission %q", s)
		}
	}
	return perm, nil
}
