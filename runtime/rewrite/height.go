package rewrite

import "strings"

// operands returns how many values a function has on its operand stack at most, as far as that can be told without
// checking types: all that a compiler may have to keep on the native stack beside the locals.
func (m *Module) operands(b *body) int {
	r := reader{buf: m.wasm[:b.end], pos: b.code}
	var bases []int // per open block, what lies below it
	base, now, most := 0, 0, 0
	var in instruction
	for r.left() > 0 {
		r.instruction(&in)
		switch in.code {
		case opBlock, opLoop, opIf:
			params, _ := m.blockArity(&in)
			bases = append(bases, base)
			if now += int(in.op.net); now-params > base {
				base = now - params
			}
		case opElse, opEnd:
			if len(bases) == 0 {
				return most
			}
			now = max(now, base) // less only where nothing gets
			if in.code == opEnd {
				base, bases = bases[len(bases)-1], bases[:len(bases)-1]
			}
		case opCall:
			t := m.signature(in.x)
			now += len(t.Results) - len(t.Params)
		case opCallIndirect:
			t := m.types[in.x]
			now += len(t.Results) - len(t.Params) - 1
		case opBr, opBrTable, opReturn, opReturnCall, opReturnCallIndirect, opUnreachable:
			now = base
		default:
			now += int(in.op.net)
		}
		now = max(now, base)
		most = max(most, now)
	}
	return most
}

// blockArity returns how many values a block takes and leaves.
func (m *Module) blockArity(in *instruction) (params, results int) {
	switch in.x {
	case blockEmpty:
		return 0, 0
	case blockValue:
		return 0, 1
	}
	return len(m.types[in.x].Params), len(m.types[in.x].Results)
}

// netOf says by how many values an instruction makes the operand stack higher, from its name and immediates. Calls and
// what ends a path are not meant.
func netOf(name string, imm immediate) int8 {
	object, verb, _ := strings.Cut(name, ".")
	verb, _, _ = strings.Cut(verb, "_")
	switch imm {
	case immLocal, immGlobal:
		return map[string]int8{"get": 1, "set": -1, "tee": 0}[verb]
	case immI32, immI64, immF32, immF64, immV128, immRefType, immFunction:
		return 1
	case immMemArg, immMemArgLane:
		net := int8(0)
		if strings.HasPrefix(verb, "store") {
			net = -2
		} else if imm == immMemArgLane {
			net = -1
		}
		return net
	case immDataMemory, immMemories, immElemTable, immTables:
		return -3
	case immShuffle, immLabel, immLabels:
		return -1
	case immSelect:
		return -2
	}
	switch name {
	case "select", "table.set", "v128.bitselect":
		return -2
	case "memory.fill", "table.fill":
		return -3
	case "memory.size", "table.size":
		return 1
	case "drop", "if", "table.grow":
		return -1
	}
	if object != name && binaryVerbs[verb] {
		return -1
	}
	return 0
}

// binaryVerbs are the verbs that make one value of two. What is missing here only makes the estimate higher.
var binaryVerbs = func() map[string]bool {
	verbs := make(map[string]bool)
	for v := range strings.FieldsSeq(`eq ne lt gt le ge add sub mul div rem and andnot or xor shl shr rotl rotr min max pmin pmax
		copysign swizzle narrow avgr q15mulr dot extmul replace`) {
		verbs[v] = true
	}
	return verbs
}()
