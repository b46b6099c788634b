package rewrite

const (
	// costImport is charged for a call of an imported function: it leaves compiled code and comes back.
	costImport = 128
	// fullCharge is the most one point charges; straight-line code that costs more gets further points. It is below
	// 2^13, so that a charge always fits two bytes and can be filled in behind.
	fullCharge = 4096
)

// point is a place in the new code that charges fuel: at is where its amount stands.
type point struct {
	at   int // -1 = the entry of a function that charges nothing there
	cost uint32
}

// emitter writes the bodies of one module anew.
type emitter struct {
	w    *rewriter
	r    reader
	body []byte // the new body
	from int    // up to here the old body is copied

	points []point // of the current function
	now    int     // the point that pays for the next instruction
	scopes []int   // the point that pays again behind each open block

	fuelHead, fuelTail, stackTail []byte // the code around a charge's amount
	give                          []byte // gives the stack back, of the current function
	constant                      int64  // the value the previous instruction pushed if it was an i32.const, else -1
}

// meter returns the content of the new code section.
func (w *rewriter) meter() []byte {
	m := w.m
	if len(m.bodies)+w.bodies.count == 0 {
		return nil
	}
	size := 0
	for i := range m.bodies {
		size += m.bodies[i].len()
	}
	out := make([]byte, 0, size+size/4)
	e := emitter{w: w}
	e.prepare()
	for i := range m.bodies {
		e.function(i)
		out = appendU32(out, uint32(len(e.body)))
		out = append(out, e.body...)
	}
	return appendVector(nil, len(m.bodies)+w.bodies.count, append(out, w.bodies.items...))
}

// prepare builds the code of a charge: add the amount to the counter, and if a top bit came out, yield. The yield stands
// in the else branch because the engine's register allocator keeps what is in registers along the first branch it
// sees; with the call there, every loop would keep its variables in memory.
func (e *emitter) prepare() {
	var head, tail, both assembler
	spent := stackSpent | fuelSpent
	head.op(opGlobalGet, e.w.counter)
	head.op(opI64Const)
	e.fuelHead = head
	for _, a := range []*assembler{&tail, &both} {
		a.op(opI64Add)
		a.op(opGlobalSet, e.w.counter)
		a.op(opGlobalGet, e.w.counter)
	}
	tail.op(opI32WrapI64)
	tail.i32(0)
	tail.op(opI32GeS)
	both.i64(int64(spent))
	both.op(opI64And)
	both.i64(0)
	both.op(opI64Eq)
	for _, a := range []*assembler{&tail, &both} {
		a.open(opIf)
		a.op(opElse)
		a.op(opCall, e.w.yield)
		a.op(opEnd)
	}
	e.fuelTail, e.stackTail = tail, both
}

// frame estimates the native stack one activation takes, in bytes.
func (b *body) frame(sig FuncType) int64 {
	values := int64(b.locals) + int64(len(sig.Params)) + int64(len(sig.Results))
	return 64 + 8*values + 8*int64(b.wide)
}

// function writes body i. A recursive function becomes: charge, block, old body with return as a branch, end, give
// back. Labels of the old body count as before, the block stands where the function's own label stood.
func (e *emitter) function(i int) {
	m := e.w.m
	b := &m.bodies[i]
	sig := m.signature(m.importedFuncs + uint32(i))
	e.r = reader{buf: m.wasm[:b.end], pos: b.code}
	e.body, e.from = append(e.body[:0], m.wasm[b.start:b.code]...), b.code
	e.points, e.scopes, e.constant, e.give = e.points[:0], e.scopes[:0], -1, nil
	switch {
	case e.w.metered.recursive[i]:
		frame := b.frame(sig) << 32
		e.charge(frame)
		var a assembler
		a.op(opGlobalGet, e.w.counter)
		a.i64(frame)
		a.op(opI64Sub)
		a.op(opGlobalSet, e.w.counter)
		e.give = a
		e.body = append(append(e.body, byte(opBlock)), e.w.blockType(sig)...)
	case e.w.metered.charged[i]:
		e.charge(0)
	default:
		e.points = append(e.points, point{at: -1})
	}
	e.now = 0
	var in instruction
	for e.r.left() > 0 {
		e.r.instruction(&in)
		e.instruction(&in)
	}
	e.copyTo(b.end)
	if e.give != nil {
		e.body = append(append(e.body, e.give...), byte(opEnd))
	}
	for _, p := range e.points {
		if p.at >= 0 {
			e.body[p.at] |= byte(p.cost & 0x7f)
			e.body[p.at+1] |= byte(p.cost >> 7)
		}
	}
}

// blockType is the type of a block with the results of a function.
func (w *rewriter) blockType(sig FuncType) []byte {
	switch len(sig.Results) {
	case 0:
		return []byte{0x40}
	case 1:
		return sig.Results
	}
	return appendS64(nil, int64(w.typeOf(FuncType{Results: sig.Results})))
}

func (e *emitter) copyTo(end int) {
	e.body = append(e.body, e.w.m.wasm[e.from:end]...)
	e.from = end
}

// charge opens a new point here; stack is what to charge beside the fuel, in the upper half. The amount of fuel is
// not known yet: two bytes are kept for it.
func (e *emitter) charge(stack int64) {
	e.body = append(e.body, e.fuelHead...)
	e.points = append(e.points, point{at: len(e.body)})
	e.now = len(e.points) - 1
	if stack == 0 {
		e.body = append(append(e.body, 0x80, 0x00), e.fuelTail...)
		return
	}
	e.body = append(appendS64(e.body, stack), e.stackTail...)
}

// pay adds to the current point, after opening another one when it is full.
func (e *emitter) pay(cost uint32, before int) {
	if e.points[e.now].cost+cost > fullCharge {
		e.copyTo(before)
		e.charge(0)
	}
	e.points[e.now].cost += cost
}

func (e *emitter) instruction(in *instruction) {
	e.pay(uint32(in.op.cost), in.start)
	constant := e.constant
	e.constant = -1
	switch in.code {
	case opI32Const:
		v := reader{buf: e.r.buf, pos: in.imm}
		e.constant = v.signed(32)
	case opBlock, opLoop, opIf:
		e.open(in)
	case opElse:
		e.now = e.scopes[len(e.scopes)-1]
	case opEnd:
		if n := len(e.scopes); n > 0 {
			e.now = e.scopes[n-1]
			e.scopes = e.scopes[:n-1]
		}
	case opReturn:
		if e.give != nil {
			e.copyTo(in.start)
			e.body = appendU32(append(e.body, byte(opBr)), uint32(len(e.scopes)))
			e.from = e.r.pos
		}
	case opCall, opRefFunc, opReturnCall:
		e.reference(in)
	case opReturnCallIndirect:
		e.copyTo(in.start)
		e.body = append(e.body, e.give...)
	case opMemoryCopy, opMemoryFill:
		if constant >= 0 && constant < fullCharge {
			e.pay(uint32(constant)/16, in.start)
			return
		}
		e.callBulk(in)
	case opMemoryInit, opTableInit, opTableCopy, opTableGrow, opTableFill:
		e.callBulk(in)
	}
}

// open enters a block. What follows a block is paid for by the point before it, because points inside may be jumped
// over; so a block must not begin on a point that is nearly full, or each would open one of its own.
func (e *emitter) open(in *instruction) {
	if e.points[e.now].cost > fullCharge/2 {
		e.copyTo(in.start)
		e.charge(0)
	}
	e.scopes = append(e.scopes, e.now)
	if in.code == opLoop {
		e.copyTo(e.r.pos)
		e.charge(0)
	}
}

// reference rewrites an instruction with a function index.
func (e *emitter) reference(in *instruction) {
	if in.x < e.w.m.importedFuncs {
		if in.code != opRefFunc {
			e.pay(costImport, in.start)
		}
		if in.code != opReturnCall {
			return
		}
	}
	e.copyTo(in.start)
	if in.code == opReturnCall {
		e.body = append(e.body, e.give...)
	}
	e.body = appendU32(append(e.body, byte(in.code)), e.w.moved(in.x))
	e.from = e.r.pos
}

func (e *emitter) callBulk(in *instruction) {
	e.copyTo(in.start)
	e.body = appendU32(append(e.body, byte(opCall)), e.w.bulkFunction(in))
	e.from = e.r.pos
}
