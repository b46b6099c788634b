package runtime

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// defaultSecretPath is where functions find their secrets unless the operator says otherwise.
const defaultSecretPath = "/var/openfaas/secrets"

// secretDir is all a guest sees of a file system: one directory of read-only files, made of values in memory. No path reaches a real file.
type secretDir struct {
	path    string // what the guest finds it as
	names   []string
	values  [][]byte
	changed int64 // its times, nanoseconds since 1970
}

func newSecretDir(dir string, secrets map[string][]byte) secretDir {
	if dir == "" {
		dir = defaultSecretPath
	}
	d := secretDir{path: path.Clean(dir), changed: time.Now().UnixNano()}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		d.names = append(d.names, name)
		d.values = append(d.values, slices.Clone(secrets[name]))
	}
	return d
}

// maxPath bounds what is read of a path, as PATH_MAX does.
const maxPath = 4096

// resolve finds a path relative to the directory: the index of a file, or -1 for the directory itself. No part of a path leaves it. Zig
// takes the directory for the working one and asks for absolute paths in it; those that name it are understood.
func (d *secretDir) resolve(name string) (file int, e errno) {
	if rest, ok := strings.CutPrefix(name, d.path); ok && (rest == "" || rest[0] == '/') {
		name = "." + rest
	}
	switch {
	case name == "":
		return 0, errnoNoent
	case len(name) > maxPath:
		return 0, errnoNametoolong
	case strings.IndexByte(name, 0) >= 0:
		return 0, errnoInval
	case name[0] == '/':
		return 0, errnoPerm
	}
	file = -1
	for part := range strings.SplitSeq(name, "/") {
		if file >= 0 { // a file has nothing below it, not even a slash after it
			return 0, errnoNotdir
		}
		switch part {
		case "", ".":
		case "..":
			return 0, errnoPerm
		default:
			i, ok := slices.BinarySearch(d.names, part)
			if !ok {
				return 0, errnoNoent
			}
			file = i
		}
	}
	return file, errnoSuccess
}

// descriptor is one entry of a call's table of open files.
type descriptor struct {
	kind descriptorKind
	file int    // index in the secret directory
	at   uint64 // position of the next read
}

type descriptorKind uint8

const (
	fdClosed descriptorKind = iota
	fdStdin
	fdStdout
	fdStderr
	fdDir
	fdFile
)

// Descriptors that every call begins with, and how many it can have.
const (
	firstDir = 3
	maxFiles = 256
)

// open fills the table a call begins with.
func (d *secretDir) open(table []descriptor) []descriptor {
	table = append(table[:0], descriptor{kind: fdStdin}, descriptor{kind: fdStdout}, descriptor{kind: fdStderr})
	if len(d.names) > 0 {
		table = append(table, descriptor{kind: fdDir})
	}
	return table
}

// fd returns an open descriptor, nil if there is none of that number.
func (c *call) fd(n uint32) *descriptor {
	if uint64(n) >= uint64(len(c.fds)) || c.fds[n].kind == fdClosed {
		return nil
	}
	return &c.fds[n]
}

// openFd takes the lowest free number.
func (c *call) openFd(d descriptor) (uint32, errno) {
	for n := range c.fds {
		if c.fds[n].kind == fdClosed && n >= firstDir {
			c.fds[n] = d
			return uint32(n), errnoSuccess
		}
	}
	if len(c.fds) >= maxFiles {
		return 0, errnoMfile
	}
	c.fds = append(c.fds, d)
	return uint32(len(c.fds) - 1), errnoSuccess
}
