package rewrite

// segmentMode says when a segment is copied into its table or memory.
type segmentMode uint8

const (
	modeActive segmentMode = iota
	modePassive
	modeDeclared
)

type elemSegment struct {
	mode  segmentMode
	typ   ValueType
	table uint32
	count uint32
	whole span // all of the segment
}

type dataSegment struct {
	mode   segmentMode
	offset span // offset expression with its end; empty when passive
	bytes  span
}

// constant steps over a constant expression: one value and an end.
func (m *Module) constant(r *reader) {
	var in instruction
	for n := 0; ; n++ {
		at := r.pos
		r.instruction(&in)
		if r.err != nil {
			return
		}
		switch in.code {
		case opEnd:
			if n != 1 {
				r.stop(malformed(at, "constant expression has %d values, exactly 1 allowed", n))
			}
			return
		case opI32Const, opI64Const, opF32Const, opF64Const, opV128Const, opRefNull:
		case opGlobalGet:
			if int(in.x) >= len(m.globals) {
				r.stop(malformed(at, "global %d does not exist here, there are %d", in.x, len(m.globals)))
				return
			}
		case opRefFunc:
			if int(in.x) >= len(m.funcs) {
				r.stop(malformed(at, "function %d does not exist, there are %d", in.x, len(m.funcs)))
				return
			}
			m.funcRefs = append(m.funcRefs, in.imm)
			m.escaped = append(m.escaped, in.x)
		case opI32Add, opI32Sub, opI32Mul, opI64Add, opI64Sub, opI64Mul:
			r.stop(unsupported(at, FeatureExtendedConst, in.op.name+" in a constant expression"))
			return
		default:
			r.stop(malformed(at, "%s is no constant", in.op.name))
			return
		}
	}
}

// elementSection reads the eight forms of element segments: bit 0 of the flags means not active, bit 1 an explicit
// table (active) or declared (otherwise), bit 2 expressions instead of function indexes.
func (m *Module) elementSection(r *reader) {
	n := r.count("element segments", 2, m.limits.ElemSegments)
	total := uint64(0)
	m.elems = make([]elemSegment, 0, n)
	for range n {
		s := elemSegment{typ: FuncRef, whole: span{start: r.pos}}
		flags := r.u32()
		if flags > 7 {
			r.stop(malformed(s.whole.start, "element segment of unknown form %d", flags))
			return
		}
		switch {
		case flags&1 == 0:
			if flags&2 != 0 {
				s.table = m.index(r, "table", len(m.tables))
			} else if len(m.tables) == 0 {
				r.stop(malformed(s.whole.start, "element segment without a table"))
			}
			m.constant(r)
		case flags&2 == 0:
			s.mode = modePassive
		default:
			s.mode = modeDeclared
		}
		if flags&3 != 0 {
			s.typ = m.elemKind(r, flags&4 != 0)
		}
		at := r.pos
		s.count = uint32(r.count("elements", 1, m.limits.Elements))
		if total += uint64(s.count); total > uint64(m.limits.Elements) {
			r.stop(tooMany(at, "elements of all segments", total, m.limits.Elements))
		}
		m.elements(r, s.count, flags&4 != 0)
		if r.err != nil {
			return
		}
		s.whole.end = r.pos
		m.elems = append(m.elems, s)
	}
}

func (m *Module) elemKind(r *reader, expressions bool) ValueType {
	if expressions {
		return r.refType()
	}
	at := r.pos
	if k := r.byte(); k != 0 {
		r.stop(malformed(at, "element kind 0x%02x, 0 allowed", k))
	}
	return FuncRef
}

func (m *Module) elements(r *reader, n uint32, expressions bool) {
	for range n {
		if r.err != nil {
			return
		}
		if expressions {
			m.constant(r)
		} else {
			m.escaped = append(m.escaped, m.functionIndex(r))
		}
	}
}

func (m *Module) dataSection(r *reader) {
	n := r.count("data segments", 2, m.limits.DataSegments)
	m.datas = make([]dataSegment, 0, n)
	for range n {
		at := r.pos
		var s dataSegment
		switch flags := r.u32(); flags {
		case 0, 2:
			if flags == 2 {
				if r.u32() != 0 {
					r.stop(unsupported(at, FeatureMultiMemory, "a data segment for a second memory"))
				}
			}
			if len(m.memories) == 0 {
				r.stop(malformed(at, "data segment without a memory"))
			}
			s.offset.start = r.pos
			m.constant(r)
			s.offset.end = r.pos
		case 1:
			s.mode = modePassive
		default:
			r.stop(malformed(at, "data segment of unknown form %d", flags))
		}
		size := r.u32()
		s.bytes.start = r.pos
		r.take(size)
		s.bytes.end = r.pos
		if r.err != nil {
			return
		}
		m.datas = append(m.datas, s)
	}
}
