package rewrite

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
)

// generator writes random modules that are valid by construction. Every choice comes from pick, so that a fuzzer's
// bytes lead it as well as a random source.
type generator struct {
	pick  func(n int) int // 0 <= pick < n
	sigs  []FuncType      // the module's types; the first are fixed, see module
	funcs []int           // type of each function, imported ones first
	own   FuncType        // signature of the function being written

	a      assembler
	locals []ValueType
	labels []ValueType // result of each open label, innermost last; 0 = none. The function's own is not among them.
	budget int         // instructions left in this function
}

var numbers = []ValueType{I32, I64, F32, F64}

const (
	sigNothing  = iota // ()->()
	sigI32             // (i32)->(i32)
	sigPair            // ()->(i32 i64)
	sigFixed           // how many are fixed
	genImports  = 1    // imported functions
	genTable    = 12   // elements of each table
	genSegments = 3    // data segments: active, short passive, long passive
)

// module writes one: memory of 3 to 8 pages, two tables of functions, a global of each type, element and data
// segments of all modes, functions that are all exported.
func (g *generator) module() []byte {
	g.sigs = []FuncType{{}, {Params: valtypes("i32"), Results: valtypes("i32")}, {Results: valtypes("i32 i64")}}
	for range 1 + g.pick(4) {
		var t FuncType
		for range g.pick(4) {
			t.Params = append(t.Params, byte(numbers[g.pick(4)]))
		}
		for range g.pick(3) {
			t.Results = append(t.Results, byte(numbers[g.pick(4)]))
		}
		g.sigs = append(g.sigs, t)
	}
	g.funcs = []int{g.pick(len(g.sigs))}
	for range 2 + g.pick(5) {
		g.funcs = append(g.funcs, g.pick(len(g.sigs)))
	}
	var types, decls, exports, bodies, globals, elems [][]byte
	for _, t := range g.sigs {
		types = append(types, cat([]byte{0x60}, num(uint32(len(t.Params))), t.Params, num(uint32(len(t.Results))), t.Results))
	}
	for i, t := range g.funcs[genImports:] {
		decls = append(decls, num(uint32(t)))
		exports = append(exports, cat(str("f"+string(rune('a'+i))), []byte{0}, num(uint32(genImports+i))))
		bodies = append(bodies, g.function(g.sigs[t]))
	}
	for i, t := range numbers {
		globals = append(globals, append(appendConst([]byte{byte(t), 1}, t, Global{Lo: uint64(g.pick(100))}), byte(opEnd)))
		exports = append(exports, cat(str("g"+string(rune('0'+i))), []byte{3}, num(uint32(i))))
	}
	for range genTable {
		elems = append(elems, num(uint32(g.pick(len(g.funcs)))))
	}
	return wasm(
		sec(secType, vec(types...)),
		sec(secImport, vec(cat(str("env"), str("ask"), []byte{0}, num(uint32(g.funcs[0]))))),
		sec(secFunction, vec(decls...)),
		sec(secTable, vec([]byte{byte(FuncRef), 0, genTable}, []byte{byte(FuncRef), 1, genTable, 40})),
		sec(secMemory, vec([]byte{1, 3, 8})),
		sec(secGlobal, vec(globals...)),
		sec(secExport, vec(exports...)),
		sec(secElement, vec(
			cat([]byte{0, byte(opI32Const), 0, byte(opEnd)}, vec(elems...)),
			cat([]byte{1, 0}, vec(elems[:5]...)),
			cat([]byte{3, 0}, vec(elems[5:]...)))),
		sec(secDataCount, num(genSegments)),
		sec(secCode, vec(bodies...)),
		sec(secData, vec(
			cat([]byte{0, byte(opI32Const), 3, byte(opEnd)}, str("some bytes")),
			cat([]byte{1}, str("some more")),
			cat([]byte{1}, num(150_000), bytes.Repeat([]byte("abc"), 50_000)))),
	)
}

// Locals of every function behind its parameters: one of each type, and the counter that ends its loops.
func (g *generator) function(sig FuncType) []byte {
	g.own, g.a, g.labels, g.budget = sig, nil, nil, 10+g.pick(120)
	g.locals = nil
	for _, p := range sig.Params {
		g.locals = append(g.locals, ValueType(p))
	}
	g.locals = append(g.locals, append(numbers, I32)...)
	g.a.i32(int32(g.pick(60)))
	g.a.op(opLocalSet, g.counter())
	for range 1 + g.pick(6) {
		g.statement(3)
	}
	for _, r := range sig.Results {
		g.value(ValueType(r), 3)
	}
	decl := []byte{5, 1, byte(I32), 1, byte(I64), 1, byte(F32), 1, byte(F64), 1, byte(I32)}
	b := cat(decl, g.a, []byte{byte(opEnd)})
	return cat(num(uint32(len(b))), b)
}

func (g *generator) counter() uint32 { return uint32(len(g.locals) - 1) }

// local picks a local of type t, never the counter.
func (g *generator) local(t ValueType) uint32 {
	var found []uint32
	for i, l := range g.locals[:g.counter()] {
		if l == t {
			found = append(found, uint32(i))
		}
	}
	return found[g.pick(len(found))]
}

func indexOf(t ValueType) uint32 {
	for i, n := range numbers {
		if n == t {
			return uint32(i)
		}
	}
	panic("no number type")
}

// value writes code that pushes one value of type t.
func (g *generator) value(t ValueType, depth int) {
	g.budget--
	if depth <= 0 || g.budget <= 0 {
		g.leaf(t)
		return
	}
	switch g.pick(12) {
	case 0, 1:
		g.leaf(t)
	case 2:
		g.value(t, depth-1)
		g.value(t, depth-1)
		g.value(I32, depth-1)
		g.a.op(0x1b) // select
	case 3:
		g.block(opIf, t, depth)
	case 4:
		g.block(opBlock, t, depth)
	case 5:
		g.call(t, depth)
	case 6:
		g.address()
		g.a.op(opcode(0x28+indexOf(t)), 0, uint32(g.pick(1<<17))) // load
	default:
		g.compute(t, depth-1)
	}
}

func (g *generator) leaf(t ValueType) {
	switch g.pick(3) {
	case 0:
		g.a.op(opLocalGet, g.local(t))
	case 1:
		g.a.op(opGlobalGet, indexOf(t))
	default:
		v := uint64(int64(int32(g.pick(1<<16)<<g.pick(16))) - 1000)
		if t == F32 || t == F64 {
			v = uint64(g.pick(1 << 30)) // small and positive in either format
		}
		g.a = appendConst(g.a, t, Global{Lo: v})
	}
}

// address pushes an address that is mostly inside the memory.
func (g *generator) address() {
	g.value(I32, 1)
	if g.pick(8) > 0 {
		g.a.i32(0xffff)
		g.a.op(0x71) // and
	}
}

// compute writes an operator; the sub-values come from depth.
func (g *generator) compute(t ValueType, depth int) {
	switch {
	case t == I32 && g.pick(3) == 0:
		from := numbers[g.pick(4)]
		g.value(from, depth)
		g.value(from, depth)
		g.a.op([]opcode{0x46, 0x51, 0x5d, 0x63}[indexOf(from)] + opcode(g.pick(4))) // comparisons
	case t == I32 && g.pick(4) == 0:
		switch g.pick(5) {
		case 0:
			g.a.op(opMemorySize, 0)
		case 1:
			g.a.i32(int32(g.pick(3)))
			g.a.op(opMemoryGrow, 0)
		case 2:
			g.a.op(opTableSize, uint32(g.pick(2)))
		case 3:
			g.a.i32(int32(g.pick(genTable + 1)))
			g.a.op(0x25, uint32(g.pick(2))) // table.get
			g.a.op(0xd1)                    // ref.is_null
		default:
			g.ref()
			g.a.i32(int32(g.pick(8)))
			g.a.op(opTableGrow, uint32(g.pick(2)))
		}
	case t == I32 || t == I64:
		first := []opcode{0x6a, 0x7c}[indexOf(t)]
		g.value(t, depth)
		g.value(t, depth)
		g.a.op(first + opcode(g.pick(15))) // add to rotr, division among them
	case t == F32:
		g.value(F32, depth)
		g.value(F32, depth)
		g.a.op(0x92 + opcode(g.pick(3)))
	case g.pick(2) == 0:
		g.value(F64, depth)
		g.value(F64, depth)
		g.a.op(0xa0 + opcode(g.pick(3)))
	default:
		from := g.pick(2)
		g.value(numbers[from], depth)
		g.a.op(0xb7 + opcode(2*from)) // f64.convert_i32_s or _i64_s
	}
}

func (g *generator) ref() {
	if g.pick(3) == 0 {
		g.a.op(opRefNull, uint32(FuncRef))
		return
	}
	g.a.op(opRefFunc, uint32(genImports+g.pick(len(g.funcs)-genImports)))
}

// block writes a block or if with a result, 0 = none.
func (g *generator) block(op opcode, result ValueType, depth int) {
	if op == opIf {
		g.value(I32, depth-1)
	}
	kind := byte(result)
	if result == 0 {
		kind = 0x40
	}
	g.a = append(g.a, byte(op), kind)
	g.labels = append(g.labels, result)
	g.inside(result, depth)
	if op == opIf && (result != 0 || g.pick(2) == 0) {
		g.a.op(opElse)
		g.inside(result, depth)
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.a.op(opEnd)
}

func (g *generator) inside(result ValueType, depth int) {
	for range g.pick(3) {
		g.statement(depth - 1)
	}
	if result != 0 {
		g.value(result, depth-1)
	}
}

// loop writes one that ends: a counter goes down each time, all of the function's loops share it.
func (g *generator) loop(depth int) {
	withParam := g.pick(3) == 0
	if withParam {
		g.value(I32, depth-1)
		g.a = append(g.a, byte(opLoop), sigI32)
		g.a.op(opLocalSet, g.local(I32))
	} else {
		g.a.open(opLoop)
	}
	g.labels = append(g.labels, none) // nothing but the branch below goes to a loop
	g.inside(0, depth)
	if withParam {
		g.value(I32, depth-1)
	}
	g.a.op(opLocalGet, g.counter())
	g.a.i32(1)
	g.a.op(opI32Sub)
	g.a.op(0x22, g.counter()) // local.tee
	g.a.i32(0)
	g.a.op(0x4a) // i32.gt_s
	g.a.op(opBrIf, 0)
	g.labels = g.labels[:len(g.labels)-1]
	g.a.op(opEnd)
	if withParam {
		g.a.op(opLocalSet, g.local(I32))
	}
}

// none marks a label that nothing may branch to.
const none ValueType = 1

// branch leaves some enclosing block, or the function.
func (g *generator) branch(depth int) {
	to := g.pick(len(g.labels) + 1)
	if to == len(g.labels) {
		for _, r := range g.own.Results {
			g.value(ValueType(r), depth-1)
		}
		switch g.pick(3) {
		case 0:
			g.a.op(opReturn)
		case 1:
			g.a.op(opBr, uint32(to))
		default:
			g.value(I32, 1)
			g.a.op(opBrIf, uint32(to))
			for range g.own.Results {
				g.a.op(0x1a) // drop
			}
		}
		return
	}
	switch result := g.labels[len(g.labels)-1-to]; {
	case result == none:
	case result == 0 && g.pick(2) == 0:
		g.value(I32, depth-1)
		g.a = append(g.a, byte(opBrTable), 2, byte(to), byte(to), byte(to))
	case result == 0:
		g.value(I32, depth-1)
		g.a.op(opBrIf, uint32(to))
	default:
		g.value(result, depth-1)
		g.value(I32, depth-1)
		g.a.op(opBrIf, uint32(to))
		g.a.op(0x1a) // drop
	}
}

// call leaves one value of type t if some function returns one; it writes a leaf otherwise.
func (g *generator) call(t ValueType, depth int) {
	start := g.pick(len(g.funcs))
	for i := range g.funcs {
		f := (start + i) % len(g.funcs)
		if r := g.sigs[g.funcs[f]].Results; len(r) == 1 && r[0] == byte(t) {
			g.invoke(f, depth)
			return
		}
	}
	g.leaf(t)
}

// invoke calls function f, or whatever of its type a table holds.
func (g *generator) invoke(f, depth int) {
	for _, p := range g.sigs[g.funcs[f]].Params {
		g.value(ValueType(p), depth-1)
	}
	if g.pick(3) > 0 {
		g.a.op(opCall, uint32(f))
		return
	}
	g.a.i32(int32(g.pick(genTable + 1)))
	g.a.op(opCallIndirect, uint32(g.funcs[f]), uint32(g.pick(4)/3))
}

func (g *generator) statement(depth int) {
	g.budget--
	if g.budget <= 0 {
		return
	}
	t := numbers[g.pick(4)]
	if depth <= 0 {
		g.leaf(t)
		g.a.op(opLocalSet, g.local(t))
		return
	}
	switch g.pick(16) {
	case 0, 1:
		g.value(t, depth)
		g.a.op(opLocalSet, g.local(t))
	case 2:
		g.value(t, depth)
		g.a.op(opGlobalSet, indexOf(t))
	case 3, 4:
		g.address()
		g.value(t, depth)
		g.a.op(opcode(0x36+indexOf(t)), 0, uint32(g.pick(1<<17))) // store
	case 5, 6:
		g.loop(depth)
	case 7:
		g.block(opIf, 0, depth)
	case 8:
		g.block(opBlock, 0, depth)
	case 9, 10:
		g.branch(depth)
	case 11, 12:
		f := g.pick(len(g.funcs))
		g.invoke(f, depth)
		for range g.sigs[g.funcs[f]].Results {
			g.a.op(0x1a) // drop
		}
	case 13:
		if g.pick(20) == 0 {
			g.a.op(opUnreachable)
		}
		g.tables()
	default:
		g.bulk()
	}
}

// operands pushes three numbers, each below its bound, the second left to what is already there when it is 0.
func (g *generator) operands(bounds ...int) {
	for _, n := range bounds {
		g.a.i32(int32(g.pick(n)))
	}
}

// bulk writes a memory instruction with operands that are in bounds more often than not, and longer than a piece at
// times.
func (g *generator) bulk() {
	const size = 3 << 16
	switch g.pick(5) {
	case 0:
		g.operands(size, 256, size/2)
		g.a.op(opMemoryFill, 0)
	case 1, 2:
		g.operands(size/2, size/2, size*2/3)
		g.a.op(opMemoryCopy, 0, 0)
	case 3:
		g.operands(size/2, []int{9, 30_000}[g.pick(2)], []int{9, 140_000}[g.pick(2)])
		g.a.op(opMemoryInit, uint32(g.pick(genSegments)), 0)
	default:
		if g.pick(4) == 0 {
			g.a.op(opDataDrop, uint32(g.pick(genSegments)))
		}
	}
}

func (g *generator) tables() {
	const size = genTable
	switch g.pick(5) {
	case 0:
		g.operands(size)
		g.ref()
		g.a.op(opTableSet, uint32(g.pick(2)))
	case 1:
		g.operands(size)
		g.ref()
		g.operands(size / 2)
		g.a.op(opTableFill, uint32(g.pick(2)))
	case 2:
		g.operands(size, size, size/2)
		g.a.op(opTableCopy, uint32(g.pick(2)), uint32(g.pick(2)))
	case 3:
		g.operands(size, 4, 4)
		g.a.op(opTableInit, uint32(g.pick(3)), uint32(g.pick(2)))
	default:
		if g.pick(4) == 0 {
			g.a.op(opElemDrop, uint32(g.pick(3)))
		}
	}
}

func seeded(seed uint64) *generator {
	return &generator{pick: rand.New(rand.NewPCG(seed, 99)).IntN}
}

func TestRewrittenRandomModulesBehaveTheSame(t *testing.T) {
	ctx := context.Background()
	check := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer check.Close(ctx)
	for name, config := range configs() {
		t.Run(name, func(t *testing.T) {
			compared := 0
			for seed := range uint64(200 * scale(t)) {
				w := seeded(seed).module()
				if err := compiles(ctx, check, w); err != nil {
					t.Fatalf("seed %d: the generator made an invalid module: %v", seed, err)
				}
				if differ(t, config, w, seed) {
					compared++
				}
				if t.Failed() {
					t.Fatalf("seed %d behaves differently", seed)
				}
			}
			if compared < 150*scale(t) {
				t.Errorf("only %d modules could be compared", compared)
			}
		})
	}
}

// FuzzRewrite lets the fuzzer choose the module and compares it with its rewritten self on the interpreter.
func FuzzRewrite(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		pick := func(n int) int {
			v := 0
			for span := 1; span < n; span <<= 8 {
				if len(choices) > 0 {
					v, choices = v<<8|int(choices[0]), choices[1:]
				}
			}
			return v % n
		}
		w := (&generator{pick: pick}).module()
		differ(t, configs()["interpreter"], w, 5)
	})
}
