package runtime

import (
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"
)

// Flags of path_open, and sizes of what is written to the guest.
const (
	oflagCreate    = 1
	oflagDirectory = 2
	oflagExclusive = 4
	oflagTruncate  = 8

	filestatSize = 64
	direntSize   = 24
)

// at reads a path and finds what it names below a directory's descriptor.
func (c *call) at(mem api.Memory, fd, pathAt, pathLen uint32) (file int, e errno) {
	if e := c.dir(fd); e != errnoSuccess {
		return 0, e
	}
	if pathLen > maxPath {
		return 0, errnoNametoolong
	}
	name, ok := mem.Read(pathAt, pathLen)
	if !ok {
		return 0, errnoFault
	}
	return c.module.secrets.resolve(string(name))
}

// dir makes sure that a descriptor is the directory's.
func (c *call) dir(fd uint32) errno {
	d := c.fd(fd)
	switch {
	case d == nil:
		return errnoBadf
	case d.kind != fdDir:
		return errnoNotdir
	}
	return errnoSuccess
}

// pathOpen(fd, dirflags, path, path_len, oflags, rights, inheriting, fdflags) -> fd
func (c *call) pathOpen(mem api.Memory, s []uint64) errno {
	oflags, rights := arg(s, 4), s[5]
	file, e := c.at(mem, arg(s, 0), arg(s, 2), arg(s, 3))
	switch {
	case e == errnoNoent && oflags&oflagCreate != 0:
		return errnoRofs
	case e != errnoSuccess:
		return e
	case oflags&oflagDirectory != 0 && oflags&oflagCreate != 0:
		return errnoInval
	case oflags&oflagDirectory != 0 && file >= 0:
		return errnoNotdir
	case file < 0 && rights&rightWrite != 0:
		return errnoIsdir
	case oflags&oflagTruncate != 0 || rights&rightWrite != 0 || oflags&(oflagCreate|oflagExclusive) == oflagCreate|oflagExclusive:
		return errnoRofs
	}
	opened := descriptor{kind: fdFile, file: file}
	if file < 0 {
		opened = descriptor{kind: fdDir}
	}
	if !mem.WriteUint32Le(arg(s, 8), 0) { // before there is anything to undo
		return errnoFault
	}
	n, e := c.openFd(opened)
	if e == errnoSuccess {
		mem.WriteUint32Le(arg(s, 8), n)
	}
	return e
}

// pathFilestatGet(fd, flags, path, path_len, buf)
func (c *call) pathFilestatGet(mem api.Memory, s []uint64) errno {
	file, e := c.at(mem, arg(s, 0), arg(s, 2), arg(s, 3))
	if e != errnoSuccess {
		return e
	}
	return c.writeFilestat(mem, arg(s, 4), file)
}

// writeFilestat describes a file, or the directory when file is -1.
func (c *call) writeFilestat(mem api.Memory, at uint32, file int) errno {
	buf, ok := mem.Read(at, filestatSize)
	if !ok {
		return errnoFault
	}
	kind, size := byte(typeDirectory), 0
	if file >= 0 {
		kind, size = typeRegular, len(c.module.secrets.values[file])
	}
	clear(buf)
	binary.LittleEndian.PutUint64(buf[0:], 1)              // device
	binary.LittleEndian.PutUint64(buf[8:], uint64(file+2)) // inode, 1 = the directory
	buf[16] = kind
	binary.LittleEndian.PutUint64(buf[24:], 1) // links
	binary.LittleEndian.PutUint64(buf[32:], uint64(size))
	for _, field := range [...]int{40, 48, 56} { // read, written, changed
		binary.LittleEndian.PutUint64(buf[field:], uint64(c.module.secrets.changed))
	}
	return errnoSuccess
}

// pathReadlink(fd, path, path_len, buf, buf_len) -> size. Nothing here is a link.
func (c *call) pathReadlink(mem api.Memory, s []uint64) errno {
	if _, e := c.at(mem, arg(s, 0), arg(s, 1), arg(s, 2)); e != errnoSuccess {
		return e
	}
	return errnoInval
}

// pathReadOnly answers what would change the directory its first parameter names.
func (c *call) pathReadOnly(_ api.Memory, s []uint64) errno {
	if e := c.dir(arg(s, 0)); e != errnoSuccess {
		return e
	}
	return errnoRofs
}

// pathSetTimes, pathLink and pathSymlink would change something as well; only pathSymlink has its directory elsewhere.
func (c *call) pathSetTimes(mem api.Memory, s []uint64) errno { return c.pathReadOnly(mem, s) }
func (c *call) pathLink(mem api.Memory, s []uint64) errno     { return c.pathReadOnly(mem, s) }
func (c *call) pathSymlink(mem api.Memory, s []uint64) errno  { return c.pathReadOnly(mem, s[2:]) }

// fdPrestatGet writes the kind of a preopened descriptor, a directory, and the length of its name.
func (c *call) fdPrestatGet(mem api.Memory, s []uint64) errno {
	if arg(s, 0) != firstDir || c.dir(firstDir) != errnoSuccess {
		return errnoBadf
	}
	return writePair(mem, arg(s, 1), uint32(len(c.module.secrets.path)))
}

// fdPrestatDirName(fd, buf, buf_len)
func (c *call) fdPrestatDirName(mem api.Memory, s []uint64) errno {
	name := c.module.secrets.path
	switch {
	case arg(s, 0) != firstDir || c.dir(firstDir) != errnoSuccess:
		return errnoBadf
	case uint64(arg(s, 2)) < uint64(len(name)):
		return errnoNametoolong
	case !mem.WriteString(arg(s, 1), name):
		return errnoFault
	}
	return errnoSuccess
}

// fdReaddir(fd, buf, buf_len, cookie) -> size. A cookie is the index of an entry; 0 and 1 are . and ..
func (c *call) fdReaddir(mem api.Memory, s []uint64) errno {
	if e := c.dir(arg(s, 0)); e != errnoSuccess {
		return e
	}
	buf, ok := mem.Read(arg(s, 1), arg(s, 2))
	if !ok {
		return errnoFault
	}
	names, cookie, used := c.module.secrets.names, s[3], 0
	if cookie > uint64(len(names)+2) {
		return errnoInval
	}
	for i := int(cookie); i < len(names)+2 && used < len(buf); i++ {
		name, inode, kind := ".", uint64(1), byte(typeDirectory)
		switch {
		case i == 1:
			name = ".."
		case i > 1:
			name, inode, kind = names[i-2], uint64(i), typeRegular
		}
		var entry [direntSize]byte
		binary.LittleEndian.PutUint64(entry[0:], uint64(i+1))
		binary.LittleEndian.PutUint64(entry[8:], inode)
		binary.LittleEndian.PutUint32(entry[16:], uint32(len(name)))
		entry[20] = kind
		used += copy(buf[used:], entry[:]) // an entry that does not fit is cut: the guest asks again with more room
		used += copy(buf[used:], name)
	}
	if !mem.WriteUint32Le(arg(s, 4), uint32(used)) {
		return errnoFault
	}
	return errnoSuccess
}

// writePair writes a tag of 0 and the value after it.
func writePair(mem api.Memory, at, value uint32) errno {
	buf, ok := mem.Read(at, 8)
	if !ok {
		return errnoFault
	}
	clear(buf)
	binary.LittleEndian.PutUint32(buf[4:], value)
	return errnoSuccess
}
