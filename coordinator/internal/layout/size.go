package layout

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is how much of a disk a partition gets: so many bytes, or a share of the
// disk, or, if both are 0, what the others leave.
type Size struct {
	Bytes   uint64
	Percent uint32 // of the disk, in hundredths: 3333 is 33.33 %
}

// Whole is the disk as a share.
const Whole = 100 * 100

const rest = "rest"

// Rest tells whether the size is what the others leave.
func (s Size) Rest() bool { return s == Size{} }

// units are tried in this order when a size is written: the first that divides it.
var units = []struct {
	name  string
	bytes uint64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

// String is the size as ParseSize reads it.
func (s Size) String() string {
	switch {
	case s.Percent > 0:
		return strconv.FormatFloat(float64(s.Percent)/100, 'f', -1, 64) + "%"
	case s.Bytes == 0:
		return rest
	}
	for _, u := range units {
		if s.Bytes%u.bytes == 0 {
			return strconv.FormatUint(s.Bytes/u.bytes, 10) + u.name
		}
	}
	return "" // not reached: every size is a number of bytes
}

var errSize = errors.New("it must be a size with its unit, as in 512MiB, 4GB or 4GiB, a share of the disk, as in 25%, or rest")

// ParseSize reads a size above 0 with its unit, a percentage, or the word rest.
func ParseSize(text string) (Size, error) {
	if text == rest {
		return Size{}, nil
	}
	if digits, found := strings.CutSuffix(text, "%"); found {
		percent, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if hundredths := math.Round(percent * 100); err == nil && hundredths >= 1 && hundredths <= Whole {
			return Size{Percent: uint32(hundredths)}, nil
		}
		return Size{}, errSize
	}
	bytes, ok := ParseBytes(text)
	if !ok {
		return Size{}, errSize
	}
	return Size{Bytes: bytes}, nil
}

// ParseBytes reads a number of bytes above 0 with its unit.
func ParseBytes(text string) (uint64, bool) {
	for _, u := range units {
		digits, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
		return n * u.bytes, err == nil && n > 0 && n <= (1<<62)/u.bytes
	}
	return 0, false
}

// MarshalText makes the size a text in YAML and JSON.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Size) UnmarshalText(text []byte) error {
	size, err := ParseSize(string(text))
	if err != nil {
		return fmt.Errorf("size %q: %w", text, err)
	}
	*s = size
	return nil
}
