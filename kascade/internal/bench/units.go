package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"kadeploy/kascade"
)

// units of sizes and rates, in bytes or bytes per second. Longer ones first: "kbit" ends in "bit".
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1}, {"", 1},
}

// ParseSize reads a size such as 1GiB, 256M or 1000000, in bytes.
func ParseSize(s string) (int64, error) {
	n, err := quantity(s)
	if err == nil && strings.HasSuffix(strings.ToLower(s), "bit") {
		err = fmt.Errorf("%q is not a size: use something like 256MiB or 1GiB", s)
	}
	return n, err
}

// ParseRate reads a rate such as 1Gbit, 100Mbit/s or 20MiB/s, in bytes per second.
func ParseRate(s string) (int64, error) { return quantity(strings.TrimSuffix(s, "/s")) }

func quantity(s string) (int64, error) {
	for _, u := range units {
		digits, ok := cutSuffixFold(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if v := n * u.bytes; err == nil && v >= 1 && v < math.MaxInt64/2 {
			return int64(v), nil
		}
		break
	}
	return 0, fmt.Errorf("%q is not a size or rate: use something like 256MiB, 20MiB/s or 100Mbit", s)
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if len(s) < len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

// ParseHarm reads NODE@SHARE, such as 4@50%.
func ParseHarm(s string) (Harm, error) {
	node, share, ok := strings.Cut(s, "@")
	n, err := strconv.Atoi(node)
	p, perr := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
	if !ok || err != nil || perr != nil || !strings.HasSuffix(share, "%") || n < 1 || !(p >= 0 && p < 100) {
		return Harm{}, fmt.Errorf("%q does not say which node and when: use something like 4@50%%", s)
	}
	return Harm{Node: n, Share: p / 100}, nil
}

// ParseSlow reads NODE=RATE, such as 3=20MiB/s.
func ParseSlow(s string) (node int, rate int64, err error) {
	word, r, ok := strings.Cut(s, "=")
	if node, err = strconv.Atoi(word); !ok || err != nil || node < 1 {
		return 0, 0, fmt.Errorf("%q does not say which node and how slow: use something like 3=100Mbit", s)
	}
	rate, err = ParseRate(r)
	return node, rate, err
}

// ParseNodes reads numbers of nodes, such as 8,16.
func ParseNodes(s string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > maxNodes {
			return nil, fmt.Errorf("%q is not a number of nodes from 1 to %d", word, maxNodes)
		}
		list = append(list, n)
	}
	return list, nil
}

var compressions = map[kascade.Compression]string{kascade.CompressAuto: "auto", kascade.CompressOff: "off", kascade.CompressOn: "on"}

// ParseCompression reads auto, on or off.
func ParseCompression(s string) (kascade.Compression, error) {
	for c, name := range compressions {
		if s == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q: compression is auto, on or off", s)
}
