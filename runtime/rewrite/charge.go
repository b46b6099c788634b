package rewrite

const (
	// costImport is charged for a call of an imported function: it leaves compiled code and comes back.
	costImport = 128
	// fullCharge is the most to owe: straight-line code that costs more charges in between.
	fullCharge = 1024
	// calleeCredit is what a function that charges at its entry pays for the turn of a loop that called it.
	calleeCredit = 32
)

// emitter writes the bodies of one module anew.
type emitter struct {
	w    *rewriter
	r    reader
	body []byte // the new body
	from int    // up to here the old body is copied

	debt debt // of the current function

	fuelHead, fuelTail, stackTail []byte // the code around a charge's amount
	give                          []byte // gives the stack back, of the current function
	credit                        uint32 // the local that loops count down, of the current function
	constant                      int64  // the value the previous instruction pushed if it was an i32.const, else -1
	recharge                      uint32 // the function that charges for loops, of the module
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
	e.recharge = w.addFunction(FuncType{Params: []byte{byte(I32)}, Results: []byte{byte(I32)}}, e.rechargeBody())
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
func (m *Module) frame(b *body, sig FuncType) int64 {
	values := int(b.locals) + len(sig.Params) + len(sig.Results) + m.operands(b)
	return 64 + 8*int64(values) + 8*int64(b.wide)
}

// function writes body i. A recursive function becomes: charge, block, old body with return as a branch, end, give
// back. Labels of the old body count as before, the block stands where the function's own label stood.
func (e *emitter) function(i int) {
	m := e.w.m
	b := &m.bodies[i]
	sig := m.signature(m.importedFuncs + uint32(i))
	e.r = reader{buf: m.wasm[:b.end], pos: b.code}
	e.body, e.from = e.declare(b, sig), b.code
	e.debt.reset()
	e.constant, e.give = -1, nil
	entry := -1
	switch {
	case e.w.metered.recursive[i]:
		frame := m.frame(b, sig) << 32
		entry = e.charge(frame, e.stackTail)
		var a assembler
		a.op(opGlobalGet, e.w.counter)
		a.i64(frame)
		a.op(opI64Sub)
		a.op(opGlobalSet, e.w.counter)
		e.give = a
		e.body = append(append(e.body, byte(opBlock)), e.w.blockType(sig)...)
	case e.w.metered.charged[i]:
		entry = e.charge(1<<13-1, e.fuelTail)
	}
	var in instruction
	for e.r.left() > 0 {
		e.r.instruction(&in)
		e.instruction(&in)
	}
	e.copyTo(b.end)
	if e.give != nil {
		e.body = append(append(e.body, e.give...), byte(opEnd))
	}
	if entry >= 0 {
		e.owe(entry, b)
	}
}

// owe fills in what the entry of a function pays, in the two bytes of the constant at entry.
func (e *emitter) owe(entry int, b *body) {
	amount := uint32(e.debt.most) + calleeCredit
	if b.loops {
		amount += loopCredit
	}
	e.body[entry] = byte(amount) | 0x80
	e.body[entry+1] = e.body[entry+1]&0x80 | byte(amount>>7)
}

// declare writes the locals of a function, with one more if it has loops.
func (e *emitter) declare(b *body, sig FuncType) []byte {
	out := e.body[:0]
	if !b.loops {
		return append(out, e.w.m.wasm[b.start:b.code]...)
	}
	e.credit = uint32(len(sig.Params)) + b.locals
	r := reader{buf: e.w.m.wasm, pos: b.start}
	out = appendU32(out, r.u32()+1)
	out = append(out, e.w.m.wasm[r.pos:b.code]...)
	return append(out, 1, byte(I32))
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

// charge adds a constant to the counter and returns where the constant stands.
func (e *emitter) charge(amount int64, tail []byte) int {
	e.body = append(e.body, e.fuelHead...)
	at := len(e.body)
	e.body = append(appendS64(e.body, amount), tail...)
	return at
}

// owed adds to the debt, after paying it here when it becomes too much.
func (e *emitter) owed(cost uint32, before int) {
	if e.debt.path.owed < 0 {
		return
	}
	if e.debt.path.owed > 0 && uint32(e.debt.path.owed)+cost > fullCharge {
		e.pay(before)
	}
	e.debt.path.owed += int32(cost)
	e.debt.path.mean += int32(cost)
}

func (e *emitter) pay(before int) {
	e.copyTo(before)
	e.charge(int64(e.debt.path.owed), e.fuelTail)
	e.debt.path.owed, e.debt.path.mean = 0, 0
}

func (e *emitter) instruction(in *instruction) {
	e.owed(uint32(in.op.cost), in.start)
	constant := e.constant
	e.constant = -1
	switch in.code {
	case opI32Const:
		v := reader{buf: e.r.buf, pos: in.imm}
		e.constant = v.signed(32)
	case opBlock, opLoop, opIf:
		// A block must not begin near the limit, or the charges inside leave as much for the next one.
		if e.debt.path.owed > fullCharge/2 {
			e.pay(in.start)
		}
		e.debt.open(in.code, in.x < blockValue && len(e.w.m.types[in.x].Params) > 0)
	case opElse:
		e.debt.alternative()
	case opEnd:
		e.debt.close()
	case opUnreachable:
		e.debt.stop()
	case opBr, opBrIf, opBrTable:
		e.branch(in)
	case opReturn, opReturnCall, opReturnCallIndirect:
		e.leave(in)
	case opCall, opRefFunc:
		e.reference(in)
	case opCallIndirect:
		e.called(e.w.metered.sigOf[in.x], in.start)
	case opMemoryCopy, opMemoryFill:
		if constant >= 0 && constant < pieceBytes/64 {
			e.owed(uint32(constant)/bytesPerFuel, in.start)
			return
		}
		e.callBulk(in)
	case opMemoryInit, opTableInit, opTableCopy, opTableGrow, opTableFill:
		e.callBulk(in)
	}
}

// called adds what a call of a node of the call graph does that nobody else pays for.
func (e *emitter) called(node int32, before int) {
	if node < 0 {
		e.owed(costImport, before)
		return
	}
	e.owed(e.w.metered.work[node], before)
	e.debt.leave()
	if int(node) < len(e.w.metered.charged) && e.w.metered.charged[node] {
		e.debt.path.called = true
	}
}

// leave rewrites an instruction that leaves the function.
func (e *emitter) leave(in *instruction) {
	switch in.code {
	case opReturnCall:
		e.called(int32(in.x)-int32(e.w.m.importedFuncs), in.start)
	case opReturnCallIndirect:
		e.called(e.w.metered.sigOf[in.x], in.start)
	}
	e.debt.leave()
	if in.code == opReturn {
		if e.give != nil {
			e.copyTo(in.start)
			e.body = appendU32(append(e.body, byte(opBr)), uint32(len(e.debt.scopes)))
			e.from = e.r.pos
		}
	} else {
		e.copyTo(in.start)
		e.body = append(e.body, e.give...)
		if in.code == opReturnCall {
			e.reference(in)
		}
	}
	e.debt.stop()
}

// reference rewrites an instruction with a function index.
func (e *emitter) reference(in *instruction) {
	if in.code == opCall {
		e.called(int32(in.x)-int32(e.w.m.importedFuncs), in.start)
	}
	if in.x < e.w.m.importedFuncs {
		return
	}
	e.copyTo(in.start)
	e.body = appendU32(append(e.body, byte(in.code)), e.w.moved(in.x))
	e.from = e.r.pos
}

func (e *emitter) callBulk(in *instruction) {
	e.copyTo(in.start)
	e.body = appendU32(append(e.body, byte(opCall)), e.w.bulkFunction(in))
	e.from = e.r.pos
}
