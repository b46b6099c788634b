package rewrite

const (
	// costImport is charged for a call of an imported function: it leaves compiled code and comes back.
	costImport = 128
	// fullCharge is about the most to charge in one place: straight-line code that costs more charges in between.
	fullCharge = 4096
	// maxCharge is the most that the three bytes kept for an amount can hold.
	maxCharge = 1<<20 - 1
)

// Loops count down a local of their function and go to the counter only now and then: a global is memory, and adding
// to it in each turn of a small loop takes longer than the turn.
const (
	// loopCredit is what the loops of one activation may do before they go to the counter; the function's entry or
	// its caller has paid for it.
	loopCredit = 256
	// loopCharge is how much they charge then, for their turns to come.
	loopCharge = 16 << 10
)

// patch is a place in the new code where the amount of an account belongs.
type patch struct{ at, account int }

// scope says of an open block who pays for the code behind it and, of a loop, for its turns.
type openBlock struct {
	before int // the account in use when it was opened
	turns  int // the account of one turn; -1 = not a loop
	params bool
}

// emitter writes the bodies of one module anew.
type emitter struct {
	w    *rewriter
	r    reader
	body []byte // the new body
	from int    // up to here the old body is copied

	accounts []uint32 // costs, of the current function
	patches  []patch
	now      int // the account of the next instruction
	scopes   []openBlock

	fuelHead, fuelTail, stackTail []byte // the code around a charge's amount
	give                          []byte // gives the stack back, of the current function
	credit                        uint32 // the local that loops count down, of the current function
	constant                      int64  // the value the previous instruction pushed if it was an i32.const, else -1
	recharge                      uint32 // the function that charges loopCharge
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
	e.recharge = w.addFunction(FuncType{Params: []byte{byte(I32)}}, e.rechargeBody())
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

// rechargeBody is the body of the function that loops call, (i32)->(): it charges its parameter.
func (e *emitter) rechargeBody() []byte {
	var a assembler
	a.op(opGlobalGet, e.w.counter)
	a.get(0)
	a.op(opI64ExtendI32U)
	a = append(a, e.fuelTail...)
	return a.body(0)
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
	e.body, e.from = e.declare(b, sig), b.code
	e.accounts, e.patches, e.scopes = append(e.accounts[:0], 0), e.patches[:0], e.scopes[:0]
	e.constant, e.give, e.now = -1, nil, 0
	if b.loops {
		e.accounts[0] = loopCredit
	}
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
	for _, p := range e.patches {
		cost := e.accounts[p.account]
		e.body[p.at] |= byte(cost & 0x7f)
		e.body[p.at+1] |= byte(cost >> 7 & 0x7f)
		e.body[p.at+2] |= byte(cost >> 14)
	}
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

// amount keeps three bytes for the amount of an account, which is not known yet; high is what stands above it.
func (e *emitter) amount(account int, high int64) {
	e.patches = append(e.patches, patch{len(e.body), account})
	if high == 0 {
		e.body = append(e.body, 0x80, 0x80, 0x00)
		return
	}
	e.body = appendS64(e.body, high)
}

// charge charges the counter for the account in use, and stack in its upper half.
func (e *emitter) charge(stack int64) {
	e.body = append(e.body, e.fuelHead...)
	e.amount(e.now, stack)
	if stack == 0 {
		e.body = append(e.body, e.fuelTail...)
		return
	}
	e.body = append(e.body, e.stackTail...)
}

// pay adds to the account in use, after opening another one that is charged here when it is full.
func (e *emitter) pay(cost uint32, before int) {
	if e.accounts[e.now]+cost > fullCharge {
		e.renew(before)
	}
	e.accounts[e.now] += cost
}

func (e *emitter) renew(before int) {
	e.copyTo(before)
	e.accounts = append(e.accounts, 0)
	e.now = len(e.accounts) - 1
	e.charge(0)
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
		e.now = e.scopes[len(e.scopes)-1].before
	case opEnd:
		e.close()
	case opBr, opBrIf, opBrTable:
		e.branch(in)
	case opReturn:
		if e.give != nil {
			e.copyTo(in.start)
			e.body = appendU32(append(e.body, byte(opBr)), uint32(len(e.scopes)))
			e.from = e.r.pos
		}
	case opCall, opRefFunc, opReturnCall:
		e.reference(in)
	case opCallIndirect:
		e.pay(e.work(e.w.metered.sigOf[in.x]), in.start)
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

// work is what a call of a node of the call graph does that nobody else pays for.
func (e *emitter) work(node int32) uint32 {
	if node < 0 {
		return costImport
	}
	return e.w.metered.work[node]
}

// open enters a block. What follows a block is paid for by the account before it, because charges inside may be
// jumped over; so a block must not begin on an account that is nearly full, or each would open one of its own.
func (e *emitter) open(in *instruction) {
	if e.accounts[e.now] > fullCharge/2 {
		e.renew(in.start)
	}
	s := openBlock{before: e.now, turns: -1}
	if in.code == opLoop {
		e.accounts = append(e.accounts, 0)
		e.now = len(e.accounts) - 1
		s.turns = e.now
		s.params = in.x < blockValue && len(e.w.m.types[in.x].Params) > 0
	}
	e.scopes = append(e.scopes, s)
}

// close leaves a block. A loop's first turn is paid for by what surrounds it, its further turns by themselves.
func (e *emitter) close() {
	n := len(e.scopes) - 1
	if n < 0 {
		return
	}
	s := e.scopes[n]
	e.scopes = e.scopes[:n]
	e.now = s.before
	if s.turns >= 0 {
		e.accounts[e.now] = min(e.accounts[e.now]+e.accounts[s.turns], maxCharge)
	}
}

// reference rewrites an instruction with a function index.
func (e *emitter) reference(in *instruction) {
	if in.code != opRefFunc {
		e.pay(e.work(int32(in.x)-int32(e.w.m.importedFuncs)), in.start)
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

// branch charges for another turn where a branch goes back to a loop.
func (e *emitter) branch(in *instruction) {
	s, label := e.target(in)
	if s == nil {
		return
	}
	e.copyTo(in.start)
	if in.code == opBrTable || s.params {
		// The branch needs what is on the stack: charge beside it.
		e.turn(s.turns)
		e.body = append(e.body, byte(opIf), 0x40, byte(opElse))
		e.rechargeLoop()
		e.body = append(e.body, byte(opEnd))
		return
	}
	// An if has one way in, which lets the engine fuse it with the comparison before it; a br_if has not.
	e.from = e.r.pos
	if in.code == opBrIf {
		e.body = append(e.body, byte(opIf), 0x40)
		label++
	}
	e.turn(s.turns)
	e.body = appendU32(append(e.body, byte(opIf), 0x40, byte(opBr)), label+1)
	e.body = append(e.body, byte(opElse))
	e.rechargeLoop()
	e.body = append(appendU32(append(e.body, byte(opBr)), label+1), byte(opEnd))
	if in.code == opBrIf {
		e.body = append(e.body, byte(opEnd))
	} else {
		e.body = append(e.body, byte(opUnreachable)) // says that nothing goes on here, as the branch did
	}
}

// target returns the loop a branch can go back to, of several the outermost, and its label.
func (e *emitter) target(in *instruction) (found *openBlock, label uint32) {
	targets := reader{buf: e.r.buf, pos: in.imm}
	n := uint32(0)
	if in.code == opBrTable {
		n = in.x
	}
	for range n + 1 {
		l := targets.u32()
		if i := len(e.scopes) - 1 - int(l); i >= 0 && e.scopes[i].turns >= 0 && (found == nil || l > label) {
			found, label = &e.scopes[i], l
		}
	}
	return found, label
}

// turn takes an account's amount from the credit and pushes whether there was enough.
func (e *emitter) turn(account int) {
	a := (*assembler)(&e.body)
	a.op(opLocalGet, e.credit)
	a.op(opI32Const)
	e.amount(account, 0)
	a.op(opI32Sub)
	a.op(opLocalTee, e.credit)
	a.i32(-loopCredit)
	a.op(opI32GeS)
}

// rechargeLoop pays what the loops owe and loopCharge in advance.
func (e *emitter) rechargeLoop() {
	a := (*assembler)(&e.body)
	a.i32(loopCharge)
	a.op(opLocalGet, e.credit)
	a.op(opI32Sub)
	a.op(opCall, e.recharge)
	a.i32(loopCharge)
	a.op(opLocalSet, e.credit)
}
