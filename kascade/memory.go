package kascade

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
)

// memoryShare is the part of a node's free memory that a window may take at most: one in
// so many. The rest is for what consumes the stream, and for the page cache.
const memoryShare = 8

// windowLimit is how many bytes a relay holds: what the head says, less if the node's own
// options or its free memory say so. The window has at least window.MinSlots chunks anyway.
func windowLimit(head uint64, own int64, available int64) int64 {
	limit := int64(min(head, 1<<40))
	if own > 0 {
		limit = min(limit, own)
	}
	if available > 0 {
		limit = min(limit, available/memoryShare)
	}
	return limit
}

// availableMemory is the bytes that can be used without swapping, as the kernel estimates
// (MemAvailable in proc_meminfo(5)); 0: not known here.
func availableMemory() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return parseAvailable(b)
}

func parseAvailable(meminfo []byte) int64 {
	for s := bufio.NewScanner(bytes.NewReader(meminfo)); s.Scan(); {
		rest, ok := bytes.CutPrefix(s.Bytes(), []byte("MemAvailable:"))
		if !ok {
			continue
		}
		rest, ok = bytes.CutSuffix(bytes.TrimSpace(rest), []byte(" kB"))
		kib, err := strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 50)
		if !ok || err != nil {
			return 0
		}
		return kib << 10
	}
	return 0
}
