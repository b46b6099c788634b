package rewrite

// instruction is one decoded instruction. The walkers keep a single one and decode into it again and again.
type instruction struct {
	op    *operation
	code  opcode
	start int    // offset of its first byte
	imm   int    // offset of its first immediate
	x, y  uint32 // indexes; for immLabels x is the number of labels before the default; for immBlock see blockType
}

// Block types as instruction.x holds them: a type index, or one of these.
const (
	blockEmpty uint32 = 1<<32 - 1 - iota
	blockValue        // one result of the value type in y
)

// instruction decodes the next instruction and checks what can be checked without knowing the module.
func (r *reader) instruction(in *instruction) {
	in.start = r.pos
	b := r.byte()
	in.op, in.code = &operations[b], opcode(b)
	switch b {
	case 0xfc:
		in.op, in.code = r.prefixed(prefixNumeric, numericOps)
	case 0xfd:
		in.op, in.code = r.prefixed(prefixVector, vectorOps)
	}
	if r.err != nil {
		return
	}
	if in.op.name == "" {
		r.err = malformed(in.start, "unknown instruction 0x%02x", uint32(in.code))
		return
	}
	in.imm = r.pos
	if in.op.imm != immNone {
		r.immediates(in)
	}
}

func (r *reader) prefixed(prefix opcode, table *[256]operation) (*operation, opcode) {
	at := r.pos - 1
	n := r.u32()
	if r.err != nil {
		return &table[255], prefix
	}
	if n > 255 {
		if prefix == prefixVector && n < 0x140 {
			r.err = unsupported(at, FeatureRelaxedSIMD, "a vector instruction")
		} else {
			r.err = malformed(at, "unknown instruction 0x%02x %d", prefix>>8, n)
		}
		return &table[255], prefix
	}
	return &table[n], prefix | opcode(n)
}

func (r *reader) immediates(in *instruction) {
	switch in.op.imm {
	case immLabel, immFunction, immLocal, immGlobal, immTable, immData, immElem:
		in.x = r.u32()
	case immMemArg:
		r.memArg(in)
	case immI32:
		r.signed(32)
	case immI64:
		r.signed(64)
	case immBlock:
		r.blockType(in)
	case immIndirect, immElemTable, immTables:
		in.x = r.u32()
		in.y = r.u32()
	case immLabels:
		in.x = uint32(r.count("branch targets", 1, 1<<32-1))
		in.imm = r.pos
		for range in.x {
			r.u32()
		}
		r.u32()
	default:
		r.rareImmediates(in)
	}
}

func (r *reader) rareImmediates(in *instruction) {
	switch in.op.imm {
	case immF32:
		r.take(4)
	case immF64:
		r.take(8)
	case immV128:
		r.take(16)
	case immSelect:
		if n := r.u32(); n != 1 {
			r.fail("select has %d types, exactly 1 allowed", n)
		}
		r.valueType()
	case immRefType:
		in.x = uint32(r.refType())
	case immMemory:
		r.zero("memory index")
	case immMemories:
		r.zero("memory index")
		r.zero("memory index")
	case immDataMemory:
		in.x = r.u32()
		r.zero("memory index")
	case immShuffle:
		for _, lane := range r.take(16) {
			if lane >= 32 {
				r.fail("shuffle lane %d, below 32 allowed", lane)
			}
		}
	case immLane:
		r.lane(in.op)
	case immMemArgLane:
		r.memArg(in)
		r.lane(in.op)
	}
}

func (r *reader) memArg(in *instruction) {
	at := r.pos
	align := r.u32()
	in.x = align
	in.y = r.u32()
	if align >= 32 && r.err == nil {
		if align>>6 == 1 {
			r.err = unsupported(at, FeatureMultiMemory, in.op.name)
			return
		}
		r.err = malformed(at, "%s has alignment 2^%d", in.op.name, align)
	}
}

func (r *reader) lane(op *operation) {
	if l := r.byte(); l >= op.lanes && r.err == nil {
		r.fail("%s has lane %d, below %d allowed", op.name, l, op.lanes)
	}
}

func (r *reader) zero(what string) {
	at := r.pos
	if b := r.byte(); b != 0 && r.err == nil {
		r.err = unsupported(at, FeatureMultiMemory, what+" other than 0")
	}
}

func (r *reader) blockType(in *instruction) {
	at := r.pos
	if r.left() > 0 {
		switch b := r.buf[r.pos]; {
		case b == 0x40:
			r.pos++
			in.x = blockEmpty
			return
		case b&0xc0 == 0x40:
			in.x, in.y = blockValue, uint32(r.valueType())
			return
		}
	}
	n := r.signed(33)
	if r.err == nil && n < 0 {
		r.err = malformed(at, "unknown block type")
		return
	}
	in.x = uint32(n)
}
