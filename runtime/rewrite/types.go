package rewrite

import "strings"

// ValueType is a value type as the binary format encodes it.
type ValueType byte

// The value types of WebAssembly 2.0.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

// String is the type's name in the text format.
func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return "unknown type"
}

// FuncType is a function's signature: one byte per parameter and per result.
type FuncType struct{ Params, Results []byte }

// String prints a signature as (i32 i32)->(i64).
func (t FuncType) String() string {
	var s strings.Builder
	list := func(types []byte) {
		s.WriteByte('(')
		for i, v := range types {
			if i > 0 {
				s.WriteByte(' ')
			}
			s.WriteString(ValueType(v).String())
		}
		s.WriteByte(')')
	}
	list(t.Params)
	s.WriteString("->")
	list(t.Results)
	return s.String()
}

// key identifies a signature; equal signatures of different type indexes share it, as call_indirect demands.
func (t FuncType) key() string { return string(t.Params) + ">" + string(t.Results) }

func (r *reader) valueType() ValueType {
	at := r.pos
	t := ValueType(r.byte())
	if r.err != nil {
		return 0
	}
	switch t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return t
	}
	r.err = badType(at, byte(t))
	return 0
}

func (r *reader) refType() ValueType {
	at := r.pos
	t := ValueType(r.byte())
	if r.err != nil || t == FuncRef || t == ExternRef {
		return t
	}
	if err := badType(at, byte(t)); r.err == nil {
		r.err = err
	}
	return 0
}

// badType tells the types of later proposals from garbage.
func badType(at int, b byte) error {
	switch {
	case b == 0x69 || b == 0x74:
		return unsupported(at, FeatureExceptions, "type exnref")
	case b == 0x63 || b == 0x64:
		return unsupported(at, FeatureTypedReferences, "a typed reference")
	case b >= 0x6a && b <= 0x73 && b != 0x70 && b != 0x6f:
		return unsupported(at, FeatureGC, "a garbage-collected reference type")
	}
	return malformed(at, "0x%02x is not a type allowed here", b)
}

// span is a range of bytes of the module.
type span struct{ start, end int }

func (s span) len() int { return s.end - s.start }

// tableType, memoryType and globalType describe what an import or a definition provides. An absent maximum is
// hasMax=false.
type tableType struct {
	elem     ValueType
	min, max uint32
	hasMax   bool
}

type memoryType struct {
	min, max uint32
	hasMax   bool
}

type globalType struct {
	typ     ValueType
	mutable bool
	init    span // the initial value's expression with its end; empty for imports
}

// bounds reads the limits of a table or memory.
func (r *reader) bounds(what string) (low, high uint32, hasMax bool) {
	at := r.pos
	flags := r.byte()
	switch {
	case r.err != nil:
		return
	case flags >= 8:
		r.err = malformed(at, "%s has limits of unknown form 0x%02x", what, flags)
	case flags&4 != 0:
		r.err = unsupported(at, FeatureMemory64, what+" with 64-bit addresses")
	case flags&2 != 0:
		r.err = unsupported(at, FeatureThreads, "shared "+what)
	}
	low = r.u32()
	if flags&1 != 0 {
		hasMax, high = true, r.u32()
	}
	if r.err == nil && hasMax && high < low {
		r.err = malformed(at, "%s has minimum %d above its maximum %d", what, low, high)
	}
	return low, high, hasMax
}

func (r *reader) tableType(l *Limits) (t tableType) {
	at := r.pos
	if r.left() > 0 && r.buf[r.pos] == 0x40 {
		r.stop(unsupported(at, FeatureTypedReferences, "a table with an initial value"))
		return t
	}
	t.elem = r.refType()
	t.min, t.max, t.hasMax = r.bounds("table")
	if t.min > l.TableSize {
		r.stop(tooMany(at, "table elements", uint64(t.min), l.TableSize))
	}
	return t
}

func (r *reader) memoryType(l *Limits) (t memoryType) {
	at := r.pos
	t.min, t.max, t.hasMax = r.bounds("memory")
	if t.min > 65_536 || t.hasMax && t.max > 65_536 {
		r.stop(malformed(at, "memory is larger than 65536 pages"))
	}
	if t.min > l.MemoryPages {
		r.stop(tooMany(at, "memory pages", uint64(t.min), l.MemoryPages))
	}
	return t
}

func (r *reader) globalType() (t globalType) {
	t.typ = r.valueType()
	at := r.pos
	switch m := r.byte(); m {
	case 0, 1:
		t.mutable = m == 1
	default:
		r.stop(malformed(at, "global mutability 0x%02x, 0 or 1 allowed", m))
	}
	return t
}
