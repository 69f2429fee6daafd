package gunzip

import "math/bits"

// Codes of at most mainBits bits (distMain for distances) are decoded by one look
// into a table, longer ones by a second one. The sizes are the most that any
// complete code of so many symbols and at most 15 bits needs (zlib's "enough").
const (
	maxBits   = 15
	mainBits  = 11
	mainSize  = 1 << mainBits
	litSize   = 2342
	distMain  = 9
	distMask  = 1<<distMain - 1
	distSize  = 594
	codeMain  = 7 // code lengths have no longer codes
	litCodes  = 288
	distCodes = 32
	endCode   = 256
)

// An entry of a table:
//
//	literal   bit 31, the byte in bits 16 to 23, the bits of the code in 0 to 7
//	length    the base in bits 16 to 30, the bits of the code in 8 to 11, those and the extra bits together in 0 to 7
//	distance  as length
//	others    bit 15, and bit 14: a second table, whose start is in bits 16 to 30, its bits in 8 to 11, those of the first in 0 to 7;
//	          or bit 13: the end of the block; or neither: there is no such code
const (
	isLiteral = 1 << 31
	isOther   = 1 << 15
	isSecond  = 1 << 14
	isEnd     = 1 << 13
)

// tables are those of one block.
type tables struct {
	lit  [litSize]uint32
	dist [distSize]uint32
}

// Bases and extra bits of lengths and distances (RFC 1951, 3.2.5).
var (
	lengthBase  = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [...]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [...]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// literal is the entry of a symbol of the first alphabet, without the bits of its code.
func literal(symbol int, n uint) uint32 {
	switch {
	case symbol < endCode:
		return isLiteral | uint32(symbol)<<16 | uint32(n)
	case symbol == endCode:
		return isOther | isEnd | uint32(n)
	case symbol-endCode-1 < len(lengthBase):
		i := symbol - endCode - 1
		return uint32(lengthBase[i])<<16 | uint32(n)<<8 | uint32(n) + uint32(lengthExtra[i])
	}
	return isOther
}

func distance(symbol int, n uint) uint32 {
	if symbol < len(distBase) {
		return uint32(distBase[symbol])<<16 | uint32(n)<<8 | uint32(n) + uint32(distExtra[symbol])
	}
	return isOther
}

func number(symbol int, n uint) uint32 { return uint32(symbol)<<16 | uint32(n) }

// build fills a table of the canonical code with those lengths (RFC 1951, 3.2.2),
// whose first part has main bits. A code must be complete, but for one of no symbol,
// and one of a single symbol of one bit.
func build(table []uint32, main uint, lengths []uint8, entry func(symbol int, n uint) uint32) bool {
	next, ok := canonical(lengths)
	if !ok {
		return false
	}
	first := table[:1<<main]
	for i := range first {
		first[i] = isOther // what no code of the two incomplete ones begins with
	}
	if !seconds(table, main, lengths, next) {
		return false
	}
	for symbol, length := range lengths {
		if length == 0 {
			continue
		}
		n := uint(length)
		c := reverse(next[n], n)
		next[n]++
		part := first
		if n > main {
			at := first[c&(1<<main-1)]
			part = table[at>>16&0x7fff:][:1<<(at>>8&15)]
			c, n = c>>main, n-main
		}
		e := entry(symbol, n)
		for i := c; i < len(part); i += 1 << n {
			part[i] = e
		}
	}
	return true
}

// canonical are the first codes of each length; false if the code is not one to be taken.
func canonical(lengths []uint8) (next [maxBits + 1]int, ok bool) {
	var count [maxBits + 1]int
	symbols := 0
	for _, n := range lengths {
		if n > 0 {
			count[n]++
			symbols++
		}
	}
	code, used := 0, 0
	for n := 1; n <= maxBits; n++ {
		next[n] = code
		code = (code + count[n]) << 1
		used += count[n] << (maxBits - n)
	}
	return next, used == 1<<maxBits || symbols == 0 || symbols == 1 && count[1] == 1
}

// seconds makes room for the second tables, which begin behind the first one and are
// as long as the longest code with their beginning needs; false if they do not fit.
func seconds(table []uint32, main uint, lengths []uint8, next [maxBits + 1]int) bool {
	var deepest [1 << mainBits]uint8 // bits behind the first ones
	for _, length := range lengths {
		if n := uint(length); n > 0 {
			low := reverse(next[n], n) & (1<<main - 1)
			next[n]++
			deepest[low] = max(deepest[low], uint8(max(n, main)-main))
		}
	}
	end := 1 << main
	for low, width := range deepest[:1<<main] {
		if width == 0 {
			continue
		}
		if end+1<<width > len(table) {
			return false
		}
		table[low] = isOther | isSecond | uint32(end)<<16 | uint32(width)<<8 | uint32(main)
		end += 1 << width
	}
	return true
}

// reverse turns a code of n bits round: the input has its first bit lowest.
func reverse(code int, n uint) int { return int(bits.Reverse16(uint16(code)) >> (16 - n)) }
