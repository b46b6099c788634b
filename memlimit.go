package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// setMemoryLimit tells Go's collector to stay within nine tenths of what the
// process's cgroups allow, unless GOMEMLIMIT says something else. It gives the
// limit in bytes, 0 if there is none.
func setMemoryLimit(root string, environ map[string]string) int64 {
	if environ["GOMEMLIMIT"] != "" {
		return 0
	}
	limit := cgroupMemory(root)
	if limit > 0 {
		limit = limit / 10 * 9
		debug.SetMemoryLimit(limit)
	}
	return limit
}

// cgroupMemory gives the lowest memory limit of the process's cgroup and those
// above it, in bytes, 0 if there is none. The root is / but in tests.
func cgroupMemory(root string) int64 {
	self, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	least := int64(0)
	for line := range strings.Lines(string(self)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max"
		if parts[0] != "0" { // version 1
			if !strings.Contains(","+parts[1]+",", ",memory,") {
				continue
			}
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for path := filepath.Clean("/" + parts[2]); ; path = filepath.Dir(path) {
			if n := readLimit(filepath.Join(root, base, path, file)); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if path == "/" {
				break
			}
		}
	}
	return least
}

// readLimit reads one limit; 0 for none, which version 1 writes as a number
// above any machine's memory.
func readLimit(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 || n >= 1<<60 {
		return 0
	}
	return n
}
