package image

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Tags of a POSIX ACL entry, and its version, in an extended attribute
// (linux/posix_acl_xattr.h).
const (
	aclVersion  = 2
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
	aclNoID     = 0xffffffff
)

// errNamedID says that an ACL names a user or a group that the lookup does not know.
var errNamedID = errors.New("unknown name")

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// encodeACL turns an ACL's text (acl(5), long or short form, as star and GNU tar
// store it in SCHILY.acl.*) into the value of the extended attribute. Names
// of users and groups are looked up with id, whose kind is aclUser or aclGroup.
func encodeACL(text string, id func(kind uint16, name string) (uint32, bool)) ([]byte, error) {
	var entries []aclEntry
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		item, _, _ = strings.Cut(item, "#")
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		e, err := parseACLEntry(item, id)
		if err != nil {
			return nil, fmt.Errorf("ACL entry %q: %w", item, err)
		}
		entries = append(entries, e)
	}
	// The kernel wants them in the order of their tags.
	slices.SortStableFunc(entries, func(a, b aclEntry) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.id, b.id))
	})
	out := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out, nil
}

func parseACLEntry(item string, id func(uint16, string) (uint32, bool)) (aclEntry, error) {
	fields := strings.Split(item, ":")
	if len(fields) > 1 && (fields[0] == "default" || fields[0] == "d") {
		fields = fields[1:]
	}
	if len(fields) == 2 && (fields[0] == "other" || fields[0] == "o" || fields[0] == "mask" || fields[0] == "m") {
		fields = []string{fields[0], "", fields[1]} // Solaris writes "other:rwx"
	}
	if len(fields) < 3 {
		return aclEntry{}, errors.New("not TYPE:NAME:PERMISSIONS")
	}
	e := aclEntry{id: aclNoID}
	named := fields[1] != ""
	switch fields[0] {
	case "user", "u":
		e.tag = aclUserObj
		if named {
			e.tag = aclUser
		}
	case "group", "g":
		e.tag = aclGroupObj
		if named {
			e.tag = aclGroup
		}
	case "mask", "m":
		e.tag = aclMask
	case "other", "o":
		e.tag = aclOther
	default:
		return aclEntry{}, fmt.Errorf("unknown type %q", fields[0])
	}
	var err error
	if e.perm, err = parseACLPerm(fields[2]); err != nil {
		return aclEntry{}, err
	}
	if e.tag == aclUser || e.tag == aclGroup {
		e.id, err = resolveACLName(e.tag, fields, id)
	}
	return e, err
}

// resolveACLName prefers the number that star puts into a fourth field.
func resolveACLName(kind uint16, fields []string, id func(uint16, string) (uint32, bool)) (uint32, error) {
	for _, s := range []string{strings.Join(fields[3:min(4, len(fields))], ""), fields[1]} {
		if n, err := strconv.ParseUint(s, 10, 32); err == nil {
			return uint32(n), nil
		}
	}
	if n, ok := id(kind, fields[1]); ok {
		return n, nil
	}
	return 0, fmt.Errorf("%w %q", errNamedID, fields[1])
}

func parseACLPerm(s string) (uint16, error) {
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
