package posixacl

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncode(t *testing.T) {
	id := func(kind uint16, name string) (uint32, bool) { return 42, kind == Group && name == "wheel" }
	value, err := Encode("mask::rw-,user::rwx\ngroup::r-- # comment\ngroup:wheel:-w-,user:7:--x,other:r", id)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(value)
	want := []Entry{{UserObj, 7, NoID}, {User, 1, 7}, {GroupObj, 4, NoID}, {Group, 2, 42}, {Mask, 6, NoID}, {Other, 4, NoID}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("Decode(Encode) = %v, %v, want %v", got, err, want)
	}
	if _, err := Encode("user:nobody:rwx", id); !errors.Is(err, ErrNamedID) {
		t.Errorf("an unknown user: %v, want ErrNamedID", err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("user::rw-,user:1000:rwx,group::r--,mask::rwx,other::---")
	f.Add("default:user:joe:rwx:1000\nother:r-x # effective")
	f.Fuzz(func(t *testing.T, text string) {
		value, err := Encode(text, func(uint16, string) (uint32, bool) { return 1, true })
		if err != nil {
			return
		}
		if _, err := Decode(value); err != nil {
			t.Errorf("Encode(%q) cannot be read: %v", text, err)
		}
	})
}
