package rewrite

import (
	"unicode/utf8"
)

// reader walks part of a module. Its first error sticks: from then on every read returns zero and moves nothing, so
// callers check err once per item instead of once per byte. pos counts from the start of the module, always.
type reader struct {
	buf []byte // the module, cut off at the end of the part being read
	pos int
	err error
}

func (r *reader) left() int { return len(r.buf) - r.pos }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = malformed(r.pos, format, args...)
	}
}

// stop records err unless an earlier error is there.
func (r *reader) stop(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.pos >= len(r.buf) {
		r.fail("ends unexpectedly")
		return 0
	}
	b := r.buf[r.pos]
	r.pos++
	return b
}

// take returns the next n bytes without copying them.
func (r *reader) take(n uint32) []byte {
	if r.err != nil {
		return nil
	}
	if uint64(n) > uint64(r.left()) {
		r.fail("%d bytes announced, %d left", n, r.left())
		return nil
	}
	b := r.buf[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

// sub returns a reader of the next n bytes and steps over them.
func (r *reader) sub(n uint32) reader {
	start := r.pos
	r.take(n)
	if r.err != nil {
		return reader{err: r.err}
	}
	return reader{buf: r.buf[:r.pos], pos: start}
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	if r.err == nil && r.pos < len(r.buf) {
		if b := r.buf[r.pos]; b < 0x80 {
			r.pos++
			return uint32(b)
		}
	}
	return r.longU32()
}

func (r *reader) longU32() uint32 {
	at := r.pos
	var v uint32
	for shift := 0; ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && b > 0x0f {
			r.pos = at
			r.fail("number is longer than 32 bits")
			return 0
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
}

// signed reads a signed LEB128 number of at most width bits (32, 33 or 64).
func (r *reader) signed(width int) int64 {
	at := r.pos
	var v int64
	for shift := 0; ; {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if room := width - shift; room < 7 { // the last byte: unused bits must repeat the sign
			unused := int8(b<<1) >> room // the sign bit and all above it
			if b >= 0x80 || (unused != 0 && unused != -1) {
				r.pos = at
				r.fail("number is longer than %d bits", width)
				return 0
			}
		}
		v |= int64(b&0x7f) << shift
		shift += 7
		if b < 0x80 {
			if shift < 64 && b&0x40 != 0 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// count reads the length of a vector whose items take at least size bytes each. A count that the remaining bytes
// cannot hold is refused here, before anything is allocated for it.
func (r *reader) count(what string, size int, limit uint32) int {
	at := r.pos
	n := r.u32()
	if r.err != nil {
		return 0
	}
	if n > limit {
		r.err = tooMany(at, what, uint64(n), limit)
		return 0
	}
	if uint64(n)*uint64(size) > uint64(r.left()) {
		r.pos = at
		r.fail("%s: %d announced, but only %d bytes are left", what, n, r.left())
		return 0
	}
	return int(n)
}

// name reads a UTF-8 string; the result aliases the module.
func (r *reader) name(what string) []byte {
	at := r.pos
	b := r.take(r.u32())
	if r.err != nil {
		return nil
	}
	if !utf8.Valid(b) {
		r.pos = at
		r.fail("%s is not UTF-8", what)
		return nil
	}
	return b
}

// done complains about bytes that nothing has read.
func (r *reader) done(what string) {
	if r.err == nil && r.left() != 0 {
		r.fail("%s has %d bytes too many", what, r.left())
	}
}
