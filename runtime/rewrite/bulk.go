package rewrite

// bulkKey tells the added functions apart: one per instruction and, where it names segments or tables, per these.
type bulkKey struct {
	code opcode
	x, y uint32
}

const (
	pieceBytes    = 64 << 10       // what one step of a memory instruction may touch
	pieceElements = pieceBytes / 8 // the same of a table
	bytesPerFuel  = 8              // by which memory instructions are charged; tables by the element
)

// bulkFunction returns the index of the function that stands for a bulk instruction.
func (w *rewriter) bulkFunction(in *instruction) uint32 {
	key := bulkKey{code: in.code}
	switch in.code {
	case opMemoryInit, opTableGrow, opTableFill:
		key.x = in.x
	case opTableInit, opTableCopy:
		key.x, key.y = in.x, in.y
	}
	f, exists := w.bulk[key]
	if !exists {
		if in.code == opTableGrow {
			f = w.addTableGrow(in.x)
		} else {
			f = w.addBulk(w.bulkOf(key))
		}
		w.bulk[key] = f
	}
	return f
}

// bulk describes an instruction with the operands destination, source or value, and length.
type bulk struct {
	second   ValueType          // type of the second operand
	piece    int32              // the most to do at once
	shift    int32              // charge is length >> shift
	dest     func(a *assembler) // pushes the size of the destination as i64
	source   func(a *assembler) // ... of the source; nil = the second operand is a value
	op       func(a *assembler) // the instruction itself
	overlaps bool               // source and destination may be the same: mind the direction
}

func (w *rewriter) bulkOf(key bulkKey) bulk {
	memory := func(a *assembler) {
		a.op(opMemorySize, 0)
		a.op(opI64ExtendI32U)
		a.i64(16)
		a.op(opI64Shl)
	}
	table := func(t uint32) func(a *assembler) {
		return func(a *assembler) {
			a.op(opTableSize, t)
			a.op(opI64ExtendI32U)
		}
	}
	fixed := func(n int) func(a *assembler) { return func(a *assembler) { a.i64(int64(n)) } }
	op := func(indexes ...uint32) func(a *assembler) { return func(a *assembler) { a.op(key.code, indexes...) } }

	b := bulk{second: I32, piece: pieceBytes, shift: 3, dest: memory}
	switch key.code {
	case opMemoryFill:
		b.op = op(0)
	case opMemoryCopy:
		b.source, b.op, b.overlaps = memory, op(0, 0), true
	case opMemoryInit:
		b.source, b.op = fixed(w.m.datas[key.x].bytes.len()), op(key.x, 0)
	default:
		b.piece, b.shift = pieceElements, 0
		switch key.code {
		case opTableFill:
			b.second, b.dest, b.op = w.m.tables[key.x].elem, table(key.x), op(key.x)
		case opTableCopy:
			b.dest, b.source, b.op = table(key.x), table(key.y), op(key.x, key.y)
			b.overlaps = key.x == key.y
		case opTableInit:
			b.dest, b.source, b.op = table(key.y), fixed(int(w.m.elems[key.x].count)), op(key.x, key.y)
		}
	}
	return b
}

// The parameters of an added bulk function.
const (
	bulkDest uint32 = iota
	bulkSource
	bulkLength
)

// addBulk writes the function for b:
//
//	charge(length >> shift)  if length is at most a piece, and do it
//	if it runs out of bounds, do it as well: it traps and has written nothing
//	otherwise do it piece by piece, charging for each, from the front or, where the source would be overwritten
//	before it is read, from the back
//
// A dropped segment has length 0, so its first piece traps as the whole would have.
func (w *rewriter) addBulk(b bulk) uint32 {
	var a assembler
	whole := func() {
		a.get(bulkDest, bulkSource, bulkLength)
		b.op(&a)
		a.op(opReturn)
	}
	a.get(bulkLength)
	a.i32(b.piece)
	a.op(opI32LeU)
	a.open(opIf)
	w.chargeLength(&a, b.shift)
	whole()
	a.op(opEnd)

	outside(&a, bulkDest, b.dest)
	if b.source != nil {
		outside(&a, bulkSource, b.source)
		a.op(opI32Or)
	}
	a.open(opIf)
	whole()
	a.op(opEnd)

	if b.overlaps {
		a.get(bulkDest, bulkSource)
		a.op(opI32GtU)
		a.open(opIf)
		w.backward(&a, b)
		whole()
		a.op(opEnd)
	}
	w.forward(&a, b)
	whole()
	return w.addFunction(FuncType{Params: []byte{byte(I32), byte(b.second), byte(I32)}}, a.body(0))
}

// chargeLength charges length >> shift and a little.
func (w *rewriter) chargeLength(a *assembler, shift int32) {
	a.op(opGlobalGet, w.counter)
	a.get(bulkLength)
	a.i32(shift)
	a.op(opI32ShrU)
	a.i32(costLoad)
	a.op(opI32Add)
	a.op(opI64ExtendI32U)
	w.chargeTop(a)
}

// chargeTop adds the amount on the stack to the counter below it, and yields when the fuel is spent.
func (w *rewriter) chargeTop(a *assembler) {
	a.op(opI64Add)
	a.op(opGlobalSet, w.counter)
	a.op(opGlobalGet, w.counter)
	a.op(opI32WrapI64)
	a.i32(0)
	a.op(opI32LtS)
	a.open(opIf)
	a.op(opCall, w.yield)
	a.op(opEnd)
}

// outside pushes whether offset + length is above size.
func outside(a *assembler, offset uint32, size func(a *assembler)) {
	a.get(offset)
	a.op(opI64ExtendI32U)
	a.get(bulkLength)
	a.op(opI64ExtendI32U)
	a.op(opI64Add)
	size(a)
	a.op(opI64GtU)
}

// forward leaves the last piece to do.
func (w *rewriter) forward(a *assembler, b bulk) {
	a.open(opLoop)
	w.chargePiece(a, b)
	a.get(bulkDest, bulkSource)
	a.i32(b.piece)
	b.op(a)
	advance(a, bulkDest, opI32Add, b.piece)
	if b.source != nil {
		advance(a, bulkSource, opI32Add, b.piece)
	}
	advance(a, bulkLength, opI32Sub, b.piece)
	again(a, b)
}

// backward leaves the first piece to do.
func (w *rewriter) backward(a *assembler, b bulk) {
	a.open(opLoop)
	w.chargePiece(a, b)
	advance(a, bulkLength, opI32Sub, b.piece)
	for _, base := range []uint32{bulkDest, bulkSource} {
		a.get(base, bulkLength)
		a.op(opI32Add)
	}
	a.i32(b.piece)
	b.op(a)
	again(a, b)
}

func (w *rewriter) chargePiece(a *assembler, b bulk) {
	a.op(opGlobalGet, w.counter)
	a.i64(int64(b.piece>>b.shift) + costLoad)
	w.chargeTop(a)
}

func advance(a *assembler, local uint32, op opcode, by int32) {
	a.get(local)
	a.i32(by)
	a.op(op)
	a.op(opLocalSet, local)
}

// again closes a loop that goes on while more than one piece is left.
func again(a *assembler, b bulk) {
	a.get(bulkLength)
	a.i32(b.piece)
	a.op(opI32GtU)
	a.op(opBrIf, 0)
	a.op(opEnd)
}

// addTableGrow writes the function for table.grow of t: it fails where the table would become larger than a module
// may ask for to start with, and charges for what it adds.
func (w *rewriter) addTableGrow(t uint32) uint32 {
	const value, delta = 0, 1
	var a assembler
	a.get(delta)
	a.op(opI64ExtendI32U)
	a.op(opTableSize, t)
	a.op(opI64ExtendI32U)
	a.op(opI64Add)
	a.i64(int64(w.m.limits.TableSize))
	a.op(opI64GtU)
	a.open(opIf)
	a.i32(-1)
	a.op(opReturn)
	a.op(opEnd)
	a.op(opGlobalGet, w.counter)
	a.get(delta)
	a.op(opI64ExtendI32U)
	a.i64(costHost)
	a.op(opI64Add)
	w.chargeTop(&a)
	a.get(value, delta)
	a.op(opTableGrow, t)
	sig := FuncType{Params: []byte{byte(w.m.tables[t].elem), byte(I32)}, Results: []byte{byte(I32)}}
	return w.addFunction(sig, a.body(0))
}
