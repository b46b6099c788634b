package runtime

import (
	"encoding/binary"
	"io"

	"github.com/tetratelabs/wazero/api"
)

// File types, rights and flags of WASI preview 1.
const (
	typeUnknown   = 0
	typeDirectory = 3
	typeRegular   = 4

	rightRead         = 1 << 1
	rightSeek         = 1 << 2
	rightFlags        = 1 << 3
	rightTell         = 1 << 5
	rightWrite        = 1 << 6
	rightAdvise       = 1 << 7
	rightPathOpen     = 1 << 13
	rightReaddir      = 1 << 14
	rightPathReadlink = 1 << 15
	rightPathFilestat = 1 << 18
	rightFilestat     = 1 << 21
	rightPoll         = 1 << 27

	rightsFile = rightRead | rightSeek | rightFlags | rightTell | rightAdvise | rightFilestat | rightPoll
	rightsDir  = rightFlags | rightPathOpen | rightReaddir | rightPathReadlink | rightPathFilestat | rightFilestat

	maxVectors = 1024 // IOV_MAX
)

// vectors calls do with each buffer of a list of (address, length) pairs until it returns false.
func vectors(mem api.Memory, at, n uint32, do func(buf []byte) bool) errno {
	if n > maxVectors {
		return errnoInval
	}
	list, ok := mem.Read(at, 8*n)
	if !ok {
		return errnoFault
	}
	for ; len(list) > 0; list = list[8:] {
		buf, ok := mem.Read(binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:]))
		if !ok {
			return errnoFault
		}
		if !do(buf) {
			return errnoSuccess
		}
	}
	return errnoSuccess
}

// fdRead(fd, iovs, iovs_len) -> size
func (c *call) fdRead(mem api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	if d == nil {
		return errnoBadf
	}
	var from []byte
	switch d.kind {
	case fdStdin:
		from = c.req.Body
	case fdFile:
		from = c.module.secrets.values[d.file]
	case fdDir:
		return errnoIsdir
	default:
		return errnoBadf
	}
	n, e := readAt(mem, arg(s, 1), arg(s, 2), from, d.at)
	if e == errnoSuccess {
		if !mem.WriteUint32Le(arg(s, 3), n) {
			return errnoFault
		}
		d.at += uint64(n)
	}
	return e
}

// fdPread(fd, iovs, iovs_len, offset) -> size
func (c *call) fdPread(mem api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	switch {
	case d == nil:
		return errnoBadf
	case d.kind == fdDir:
		return errnoIsdir
	case d.kind != fdFile:
		return errnoSpipe
	case int64(s[3]) < 0:
		return errnoInval
	}
	n, e := readAt(mem, arg(s, 1), arg(s, 2), c.module.secrets.values[d.file], s[3])
	if e == errnoSuccess && !mem.WriteUint32Le(arg(s, 4), n) {
		return errnoFault
	}
	return e
}

// readAt copies from a file's content into the guest's buffers.
func readAt(mem api.Memory, vecs, count uint32, from []byte, at uint64) (uint32, errno) {
	from = from[min(at, uint64(len(from))):]
	read := 0
	e := vectors(mem, vecs, count, func(buf []byte) bool {
		n := copy(buf, from[read:])
		read += n
		return n == len(buf)
	})
	return uint32(read), e
}

// fdWrite(fd, iovs, iovs_len) -> size
func (c *call) fdWrite(mem api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	if d == nil {
		return errnoBadf
	}
	var write func([]byte)
	switch d.kind {
	case fdStdout:
		if write = c.answer.write; c.module.code.abi != command { // its answer is what handle returns
			write = c.log.write
		}
	case fdStderr:
		write = c.log.write
	case fdFile:
		return errnoRofs
	case fdDir:
		return errnoIsdir
	default:
		return errnoBadf
	}
	written := uint32(0)
	e := vectors(mem, arg(s, 1), arg(s, 2), func(buf []byte) bool {
		write(buf)
		written += uint32(len(buf))
		return true
	})
	if e == errnoSuccess && !mem.WriteUint32Le(arg(s, 3), written) {
		return errnoFault
	}
	return e
}

func (c *call) fdPwrite(_ api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	switch {
	case d == nil:
		return errnoBadf
	case d.kind == fdFile:
		return errnoRofs
	case d.kind == fdDir:
		return errnoIsdir
	}
	return errnoSpipe
}

func (c *call) fdClose(_ api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	if d == nil {
		return errnoBadf
	}
	*d = descriptor{}
	return errnoSuccess
}

// fdRenumber(from, to) makes to what from was.
func (c *call) fdRenumber(_ api.Memory, s []uint64) errno {
	from, to := c.fd(arg(s, 0)), c.fd(arg(s, 1))
	switch {
	case from == nil || to == nil:
		return errnoBadf
	case from != to:
		*to, *from = *from, descriptor{}
	}
	return errnoSuccess
}

// fdSeek(fd, offset, whence) -> position
func (c *call) fdSeek(mem api.Memory, s []uint64) errno {
	d, e := c.seekable(arg(s, 0))
	if e != errnoSuccess {
		return e
	}
	var base uint64
	switch arg(s, 2) {
	case io.SeekStart:
	case io.SeekCurrent:
		base = d.at
	case io.SeekEnd:
		base = uint64(len(c.module.secrets.values[d.file]))
	default:
		return errnoInval
	}
	at := int64(base) + int64(s[1])
	if at < 0 { // before the start, or beyond what an offset can be
		return errnoInval
	}
	if !mem.WriteUint64Le(arg(s, 3), uint64(at)) {
		return errnoFault
	}
	d.at = uint64(at)
	return errnoSuccess
}

func (c *call) fdTell(mem api.Memory, s []uint64) errno {
	d, e := c.seekable(arg(s, 0))
	if e == errnoSuccess && !mem.WriteUint64Le(arg(s, 1), d.at) {
		return errnoFault
	}
	return e
}

// seekable returns an open regular file.
func (c *call) seekable(n uint32) (*descriptor, errno) {
	d := c.fd(n)
	switch {
	case d == nil:
		return nil, errnoBadf
	case d.kind == fdDir:
		return nil, errnoIsdir
	case d.kind != fdFile:
		return nil, errnoSpipe
	}
	return d, errnoSuccess
}

func (c *call) fdAdvise(_ api.Memory, s []uint64) errno {
	_, e := c.seekable(arg(s, 0))
	const adviceKinds = 6
	if e == errnoSuccess && arg(s, 3) >= adviceKinds {
		return errnoInval
	}
	return e
}

func (c *call) fdSync(_ api.Memory, s []uint64) errno {
	if c.fd(arg(s, 0)) == nil {
		return errnoBadf
	}
	return errnoSuccess
}

// fdReadOnly answers what would change a file.
func (c *call) fdReadOnly(_ api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	switch {
	case d == nil:
		return errnoBadf
	case d.kind == fdFile || d.kind == fdDir:
		return errnoRofs
	}
	return errnoInval
}

// fdFdstatGet writes type, flags and rights.
func (c *call) fdFdstatGet(mem api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	if d == nil {
		return errnoBadf
	}
	buf, ok := mem.Read(arg(s, 1), 24)
	if !ok {
		return errnoFault
	}
	kind, rights, inherit := byte(typeUnknown), uint64(rightFlags|rightFilestat|rightPoll), uint64(0)
	switch d.kind {
	case fdStdin:
		rights |= rightRead
	case fdStdout, fdStderr:
		rights |= rightWrite
	case fdFile:
		kind, rights = typeRegular, rightsFile
	case fdDir:
		kind, rights, inherit = typeDirectory, rightsDir, rightsDir|rightsFile
	}
	clear(buf)
	buf[0] = kind
	binary.LittleEndian.PutUint64(buf[8:], rights)
	binary.LittleEndian.PutUint64(buf[16:], inherit)
	return errnoSuccess
}

// fdFdstatSetFlags accepts non-blocking mode, which changes nothing here: nothing blocks.
func (c *call) fdFdstatSetFlags(_ api.Memory, s []uint64) errno {
	const appending, nonblock = 1, 4
	switch {
	case c.fd(arg(s, 0)) == nil:
		return errnoBadf
	case arg(s, 1)&^(appending|nonblock) != 0:
		return errnoInval
	}
	return errnoSuccess
}

// fdFdstatSetRights is no longer part of what toolchains use; rights here follow from what a descriptor is.
func (c *call) fdFdstatSetRights(_ api.Memory, s []uint64) errno {
	if c.fd(arg(s, 0)) == nil {
		return errnoBadf
	}
	return errnoNotsup
}

func (c *call) fdFilestatGet(mem api.Memory, s []uint64) errno {
	d := c.fd(arg(s, 0))
	if d == nil {
		return errnoBadf
	}
	switch d.kind {
	case fdFile:
		return c.writeFilestat(mem, arg(s, 1), d.file)
	case fdDir:
		return c.writeFilestat(mem, arg(s, 1), -1)
	}
	buf, ok := mem.Read(arg(s, 1), filestatSize)
	if !ok {
		return errnoFault
	}
	clear(buf)
	binary.LittleEndian.PutUint64(buf[24:], 1) // one link
	return errnoSuccess
}

// pollable tells poll_oneoff how many bytes a descriptor has ready.
func (c *call) pollable(n uint32, kind byte) (uint64, errno) {
	d := c.fd(n)
	if d == nil {
		return 0, errnoBadf
	}
	switch {
	case d.kind == fdStdin && kind == eventFdRead:
		return uint64(len(c.req.Body)) - d.at, errnoSuccess
	case d.kind == fdFile && kind == eventFdRead:
		size := uint64(len(c.module.secrets.values[d.file]))
		return size - min(d.at, size), errnoSuccess
	case (d.kind == fdStdout || d.kind == fdStderr) && kind == eventFdWrite:
		return 0, errnoSuccess
	}
	return 0, errnoBadf
}
