package rewrite

// Loops count down a local of their function and go to the counter only now and then: a global is memory, and adding
// to it in each turn of a small loop takes longer than the turn.
const (
	// loopCredit is what the loops of one activation may do before they go to the counter; the function's entry or
	// its caller has paid for it.
	loopCredit = 256
	// loopCharge is how much they charge then, for their turns to come.
	loopCharge = 4 << 10
)

// branch pays for the turn where a branch goes back to a loop, and notes where it may go otherwise.
func (e *emitter) branch(in *instruction) {
	if in.code == opBrTable {
		e.branchTable(in)
		return
	}
	s := e.debt.loop(in.x)
	switch {
	case s == nil:
		e.debt.branch(in.x)
	case e.debt.path.owed < 0 || e.debt.path.called && e.debt.path.owed <= calleeCredit:
		// Nothing gets here, or a callee has paid.
	case s.params: // the branch needs what is on the stack
		e.payBeside(in)
	default:
		e.back(in)
	}
	if in.code == opBr {
		e.debt.stop()
	}
}

// back writes a branch to a loop. An if has one way in, which lets the engine fuse it with the comparison before it; a
// br_if to a loop has not.
func (e *emitter) back(in *instruction) {
	e.copyTo(in.start)
	e.from = e.r.pos
	label := in.x + 1
	if in.code == opBrIf {
		e.body = append(e.body, byte(opIf), 0x40)
		label++
	}
	e.turn()
	e.body = appendU32(append(e.body, byte(opIf), 0x40, byte(opBr)), label)
	e.body = append(e.body, byte(opElse))
	e.rechargeLoop()
	e.body = append(appendU32(append(e.body, byte(opBr)), label), byte(opEnd))
	if in.code == opBrIf {
		e.body = append(e.body, byte(opEnd))
	} else {
		e.body = append(e.body, byte(opUnreachable)) // says that nothing goes on here, as the branch did
	}
}

func (e *emitter) branchTable(in *instruction) {
	loops := false
	targets := reader{buf: e.r.buf, pos: in.imm}
	for range in.x + 1 {
		loops = loops || e.debt.loop(targets.u32()) != nil
	}
	if loops {
		e.payBeside(in)
	}
	targets.pos = in.imm
	for range in.x + 1 {
		e.debt.branch(targets.u32())
	}
	e.debt.stop()
}

// payBeside pays before an instruction and leaves the stack as it is.
func (e *emitter) payBeside(in *instruction) {
	if e.debt.path.owed < 0 {
		return
	}
	e.copyTo(in.start)
	e.turn()
	e.body = append(e.body, byte(opIf), 0x40, byte(opElse))
	e.rechargeLoop()
	e.body = append(e.body, byte(opEnd))
	e.debt.path.owed, e.debt.path.mean = 0, 0
}

// turn takes the debt from the loops' credit and pushes whether there was enough.
func (e *emitter) turn() {
	a := (*assembler)(&e.body)
	a.op(opLocalGet, e.credit)
	a.i32(max(e.debt.path.due(), 1))
	a.op(opI32Sub)
	a.op(opLocalTee, e.credit)
	a.i32(-loopCredit)
	a.op(opI32GeS)
}

// rechargeLoop pays what the loops owe and loopCharge in advance.
func (e *emitter) rechargeLoop() {
	a := (*assembler)(&e.body)
	a.op(opLocalGet, e.credit)
	a.op(opCall, e.recharge)
	a.op(opLocalSet, e.credit)
}

// rechargeBody is the body of the function that loops call with the credit that is left, mostly less than none: it
// charges what is missing to loopCharge and returns that.
func (e *emitter) rechargeBody() []byte {
	var a assembler
	a.op(opGlobalGet, e.w.counter)
	a.i32(loopCharge)
	a.get(0)
	a.op(opI32Sub)
	a.op(opI64ExtendI32U)
	a = append(a, e.fuelTail...)
	a.i32(loopCharge)
	return a.body(0)
}
