package rewrite

import "fmt"

// body is what Parse keeps of one function with code.
type body struct {
	span            // the body without its size
	code     int    // offset of the first instruction, after the locals
	locals   uint32 // declared locals
	wide     uint32 // of these, v128
	cost     uint32 // of its instructions outside of loops
	loops    bool   // there is a loop
	calls    span   // its part of Module.calls
	indirect span   // its part of Module.indirect
}

// uses counts what the code of a module does.
type uses struct {
	memoryInit, dataDrop, memoryCopy, memoryFill, memoryGrow                  bool
	tableSet, tableGrow, tableFill, tableCopy, tableInit, elemDrop, tailCalls bool
}

// scope is one open block of the function being checked.
type scope struct{ isIf bool }

func (m *Module) codeSection(r *reader) {
	n := r.count("function bodies", 2, m.limits.Functions)
	if defined := len(m.funcs) - int(m.importedFuncs); n != defined {
		r.stop(malformed(r.pos, "%d functions are declared, %d have a body", defined, n))
		return
	}
	m.bodies = make([]body, n)
	c := checker{m: m}
	for i := range m.bodies {
		f := m.importedFuncs + uint32(i)
		at := r.pos
		size := r.u32()
		if size > m.limits.BodyLength {
			r.stop(tooMany(at, "bytes of a function body", uint64(size), m.limits.BodyLength))
		}
		c.r = r.sub(size)
		c.function(&m.bodies[i], m.signature(f))
		if c.r.err != nil {
			r.err = within(fmt.Sprintf("code section, function %d", f), c.r.err)
			return
		}
	}
}

// checker walks function bodies one after another and checks every immediate against the module.
type checker struct {
	m      *Module
	r      reader
	scopes []scope
	locals uint64 // parameters and declared locals of the current function
}

func (c *checker) function(b *body, sig FuncType) {
	b.span = span{c.r.pos, len(c.r.buf)}
	c.declare(b, sig)
	b.code = c.r.pos
	b.calls.start, b.indirect.start = len(c.m.calls), len(c.m.indirect)
	c.scopes = append(c.scopes[:0], scope{})
	blocks := uint64(0)
	var in instruction
	for len(c.scopes) > 0 && c.r.err == nil {
		c.r.instruction(&in)
		if c.r.err != nil {
			return
		}
		b.cost += uint32(in.op.cost)
		switch in.op.imm {
		case immNone, immMemArg, immI32, immI64, immF32, immF64:
			c.plain(&in)
		case immBlock:
			blocks++
			b.loops = b.loops || in.code == opLoop
			c.open(&in)
		default:
			c.references(&in)
		}
	}
	c.r.done("function body")
	b.calls.end, b.indirect.end = len(c.m.calls), len(c.m.indirect)
	if work := blocks * c.locals; work > uint64(c.m.limits.FrameWork) {
		c.r.stop(tooMany(b.start, fmt.Sprintf("%d locals and parameters times %d control structures", c.locals, blocks),
			work, c.m.limits.FrameWork))
	}
}

// declare reads the local declarations.
func (c *checker) declare(b *body, sig FuncType) {
	total := uint64(0)
	for range c.r.count("local declarations", 2, 1<<32-1) {
		at := c.r.pos
		n := c.r.u32()
		if total += uint64(n); total > uint64(c.m.limits.Locals) {
			c.r.stop(tooMany(at, "locals of a function", total, c.m.limits.Locals))
		}
		if t := c.r.valueType(); t == V128 {
			b.wide += n
		}
		if c.r.err != nil {
			return
		}
	}
	b.locals = uint32(total)
	c.locals = total + uint64(len(sig.Params))
}

// plain handles the instructions that refer to nothing; only block structure, memory and features matter.
func (c *checker) plain(in *instruction) {
	if in.op.imm == immMemArg {
		c.memory(in)
		return
	}
	switch in.code {
	case opEnd:
		c.scopes = c.scopes[:len(c.scopes)-1]
	case opElse:
		top := &c.scopes[len(c.scopes)-1]
		if !top.isIf {
			c.r.stop(malformed(in.start, "else without if"))
		}
		top.isIf = false
	}
	if in.op.feature != featureCore {
		c.r.stop(unsupported(in.start, in.op.feature, in.op.name))
	}
}

func (c *checker) open(in *instruction) {
	if in.op.feature != featureCore {
		c.r.stop(unsupported(in.start, in.op.feature, in.op.name))
		return
	}
	if in.x < blockValue && int(in.x) >= len(c.m.types) {
		c.r.stop(malformed(in.start, "type %d does not exist, there are %d", in.x, len(c.m.types)))
	}
	if len(c.scopes) > int(c.m.limits.Nesting) {
		c.r.stop(tooMany(in.start, "blocks inside one another", uint64(len(c.scopes)), c.m.limits.Nesting))
	}
	c.scopes = append(c.scopes, scope{isIf: in.code == opIf})
}

// references checks the indexes of the instructions that have any.
func (c *checker) references(in *instruction) {
	m := c.m
	switch in.op.imm {
	case immLocal:
		c.below(in, "local", in.x, int(c.locals))
	case immGlobal:
		if c.below(in, "global", in.x, len(m.globals)) && in.code == opGlobalSet && !m.globals[in.x].mutable {
			c.r.stop(malformed(in.start, "global.set of the immutable global %d", in.x))
		}
	case immLabel:
		c.below(in, "label", in.x, len(c.scopes))
	case immLabels:
		c.labels(in)
	case immFunction:
		c.callee(in)
	case immIndirect:
		c.indirectCall(in)
	case immMemory, immMemArgLane:
		c.memory(in)
	case immMemories:
		m.uses.memoryCopy = true
		c.memory(in)
	default:
		c.segments(in)
	}
}

func (c *checker) below(in *instruction, what string, i uint32, n int) bool {
	if int(i) >= n {
		c.r.stop(malformed(in.start, "%s: %s %d does not exist, there are %d", in.op.name, what, i, n))
		return false
	}
	return true
}

func (c *checker) memory(in *instruction) {
	if len(c.m.memories) == 0 {
		c.r.stop(malformed(in.start, "%s without a memory", in.op.name))
	}
	switch in.code {
	case opMemoryGrow:
		c.m.uses.memoryGrow = true
	case opMemoryFill:
		c.m.uses.memoryFill = true
	}
}

func (c *checker) labels(in *instruction) {
	if in.x > c.m.limits.BranchTargets {
		c.r.stop(tooMany(in.start, "branch targets", uint64(in.x), c.m.limits.BranchTargets))
		return
	}
	targets := reader{buf: c.r.buf, pos: in.imm}
	for range in.x + 1 {
		if !c.below(in, "label", targets.u32(), len(c.scopes)) {
			return
		}
	}
}

func (c *checker) callee(in *instruction) {
	if !c.below(in, "function", in.x, len(c.m.funcs)) || !c.tailCall(in) {
		return
	}
	if in.code == opRefFunc {
		c.m.escaped = append(c.m.escaped, in.x)
		return
	}
	c.m.calls = append(c.m.calls, in.x)
}

func (c *checker) indirectCall(in *instruction) {
	if !c.below(in, "type", in.x, len(c.m.types)) || !c.below(in, "table", in.y, len(c.m.tables)) || !c.tailCall(in) {
		return
	}
	if c.m.tables[in.y].elem != FuncRef {
		c.r.stop(malformed(in.start, "%s through table %d, which holds no functions", in.op.name, in.y))
		return
	}
	c.m.indirect = append(c.m.indirect, in.x)
}

func (c *checker) tailCall(in *instruction) bool {
	if in.op.feature == featureCore {
		return true
	}
	if !c.m.limits.TailCalls {
		c.r.stop(unsupported(in.start, in.op.feature, in.op.name))
		return false
	}
	c.m.uses.tailCalls = true
	return true
}

// segments checks what refers to tables and segments, and notes which of these a program uses.
func (c *checker) segments(in *instruction) {
	m, u := c.m, &c.m.uses
	switch in.code {
	case opTableSet:
		u.tableSet = true
	case opTableGrow:
		u.tableGrow = true
	case opTableFill:
		u.tableFill = true
	case opTableCopy:
		u.tableCopy = true
	case opTableInit:
		u.tableInit = true
	case opElemDrop:
		u.elemDrop = true
	case opMemoryInit:
		u.memoryInit = true
		c.memory(in)
	case opDataDrop:
		u.dataDrop = true
	}
	switch in.op.imm {
	case immTable:
		c.below(in, "table", in.x, len(m.tables))
	case immTables:
		_ = c.below(in, "table", in.x, len(m.tables)) && c.below(in, "table", in.y, len(m.tables))
	case immElemTable:
		_ = c.below(in, "element segment", in.x, len(m.elems)) && c.below(in, "table", in.y, len(m.tables))
	case immElem:
		c.below(in, "element segment", in.x, len(m.elems))
	case immData, immDataMemory:
		if !m.dataSeen {
			c.r.stop(malformed(in.start, "%s without a data count section", in.op.name))
		}
		c.below(in, "data segment", in.x, int(m.dataWant))
	}
}
