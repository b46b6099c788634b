package rewrite

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// spent is how much fuel a guest has paid since call set the counter.
func (g *guest) spent() int {
	left := 10_000 // what call gives
	if g.yields > 0 {
		left = Refill
	}
	return (g.yields-1)*Refill + 10_000 + left - int(fuelSpent-Counter(g.counter().Get())&(1<<32-1))
}

// counting is a module of one function f(n) that runs body n times.
func counting(body ...byte) []byte {
	turn := cat([]byte{byte(opLoop), 0x40}, body,
		[]byte{byte(opLocalGet), 0, byte(opI32Const), 1, byte(opI32Sub), byte(opLocalTee), 0, byte(opBrIf), 0, byte(opEnd)})
	return wasm(
		sec(secType, vec(fn("i32", ""))), sec(secFunction, vec(num(0))), sec(secMemory, vec([]byte{0, 1})),
		sec(secExport, vec(cat(str("f"), []byte{0, 0}))),
		sec(secCode, vec(code(turn...))))
}

func TestLoopsPayForEveryTurn(t *testing.T) {
	load := []byte{byte(opI32Const), 0, 0x28, 2, 0, 0x1a} // i32.load and drop
	var longer []byte
	for range 200 {
		longer = append(longer, load...)
	}
	var longest []byte
	for range 100 {
		longest = append(longest, longer...)
	}
	skipped := cat([]byte{byte(opBlock), 0x40, byte(opBr), 0}, longest, []byte{byte(opEnd)})
	for _, c := range []struct {
		name        string
		body        []byte
		turns       uint64
		least, most int // fuel per turn
	}{
		{"of nothing", nil, 1_000_000, 1, 5},
		{"of little", load, 1_000_000, 5, 10},
		{"of more than its credit", longer, 20_000, 780, 1000},
		{"of more than is charged at once", longest, 200, 79_000, 90_000},
		{"that skip most of their code", skipped, 200_000, 1, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			engines(t, func(t *testing.T, r wazero.Runtime) {
				g := instantiate(t, r, rewritten(t, counting(c.body...), Options{}))
				if _, err := g.call("f", c.turns); err != nil {
					t.Fatal(err)
				}
				if per := (g.spent() - 2*loopCharge) / int(c.turns); per < c.least || per > c.most {
					t.Errorf("a turn paid %d, want %d to %d", per, c.least, c.most)
				}
			})
		})
	}
}

// tailCalls is f(n), which calls itself n times in place of itself, directly or through a table, and returns 7.
func tailCalls(indirect bool) []byte {
	again := []byte{byte(opReturnCall), 0}
	if indirect {
		again = []byte{byte(opI32Const), 0, byte(opReturnCallIndirect), 0, 0}
	}
	return wasm(
		sec(secType, vec(fn("i32", "i32"))), sec(secFunction, vec(num(0))),
		sec(secTable, vec([]byte{byte(FuncRef), 0, 1})),
		sec(secExport, vec(cat(str("f"), []byte{0, 0}))),
		sec(secElement, vec(cat([]byte{0, byte(opI32Const), 0, byte(opEnd)}, vec(num(0))))),
		sec(secCode, vec(code(cat(
			[]byte{byte(opLocalGet), 0, 0x45, byte(opIf), 0x40, byte(opI32Const), 7, byte(opReturn), byte(opEnd),
				byte(opLocalGet), 0, byte(opI32Const), 1, byte(opI32Sub)}, again)...))))
}

func TestTailCallsPayFuelAndKeepNoStack(t *testing.T) {
	for _, indirect := range []bool{false, true} {
		t.Run(fmt.Sprintf("indirect %v", indirect), func(t *testing.T) {
			m, err := Parse(tailCalls(indirect), Limits{TailCalls: true})
			if err != nil {
				t.Fatal(err)
			}
			out, err := Rewrite(m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
				WithCoreFeatures(api.CoreFeaturesV2|experimental.CoreFeaturesTailCall))
			defer r.Close(ctx)
			g := instantiate(t, r, out)
			const turns = 1_000_000 // more than any stack holds
			if got, err := g.call("f", turns); err != nil || got[0] != 7 {
				t.Fatalf("f = %v, %v; want 7", got, err)
			}
			if g.spent() < 4*turns {
				t.Errorf("%d turns paid %d", turns, g.spent())
			}
			g.stop = func(Counter) bool { return true }
			if _, err := g.call("f", turns); !errors.Is(err, errStopped) {
				t.Errorf("not stopped: %v", err)
			}
		})
	}
}

// TestSmallCalleesArePaidForByTheirCallers: 2^20 calls of a tree of functions that are all too small to charge, but
// not all together.
func TestSmallCalleesArePaidForByTheirCallers(t *testing.T) {
	const depth = 20
	bodies, decls := [][]byte{code(cat([]byte{byte(opI32Const), 0, 0x28, 2, 0, 0x1a})...)}, [][]byte{num(0)}
	for i := range byte(depth) {
		bodies, decls = append(bodies, code(byte(opCall), i, byte(opCall), i)), append(decls, num(0))
	}
	original := wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(decls...)), sec(secMemory, vec([]byte{0, 1})),
		sec(secExport, vec(cat(str("f"), []byte{0, depth}))), sec(secCode, vec(bodies...)))
	engines(t, func(t *testing.T, r wazero.Runtime) {
		g := instantiate(t, r, rewritten(t, original, Options{}))
		if _, err := g.call("f"); err != nil {
			t.Fatal(err)
		}
		if least := (costCall + 4) << depth; g.spent() < least || g.spent() > 8*least {
			t.Errorf("paid %d, want %d or a little more", g.spent(), least)
		}
	})
}

func TestDebtFollowsAllPaths(t *testing.T) {
	var d debt
	d.path.owed, d.path.mean = 10, 10
	d.open(opIf, false)
	d.path.owed, d.path.mean = 15, 15
	d.branch(1) // leaves the function owing 15
	d.stop()
	d.alternative()
	if d.path.owed != 10 {
		t.Errorf("the else begins with %d, want 10", d.path.owed)
	}
	d.path.owed, d.path.mean = 110, 110
	d.path.called = true
	d.close()
	if d.path != (path{110, 110, true}) {
		t.Errorf("behind the if: %+v, want the else alone", d.path)
	}
	d.open(opLoop, false)
	if d.path.called || d.loop(0) == nil || d.loop(1) != nil {
		t.Error("a loop begins with no call yet, and is the only one")
	}
	d.open(opBlock, false)
	d.branch(0)
	d.path = path{owed: 3, mean: 3, called: true}
	d.close()
	if d.path != (path{110, 57, false}) {
		t.Errorf("behind the block: %+v, want the most of both ways and no sure call", d.path)
	}
	d.close()
	d.close()
	if d.most != 57 {
		t.Errorf("owed %d at most, want 57", d.most)
	}
	if d.reset(); d.most != 0 || len(d.scopes) != 0 || d.path.owed != 0 {
		t.Errorf("reset left %+v", d)
	}
}

func TestNamesFollowTheirFunctions(t *testing.T) {
	names := cat(
		[]byte{0}, num(4), str("mod"),
		[]byte{1}, num(9), vec(cat(num(0), str("ask")), cat(num(1), str("f"))),
		[]byte{2}, num(6), vec(cat(num(1), vec(cat(num(0), str("x"))))),
		[]byte{9}, num(1), vec())
	original := func(names []byte) []byte {
		return wasm(
			sec(secType, vec(fn("i32", ""))),
			sec(secImport, vec(cat(str("env"), str("ask"), []byte{0, 0}))),
			sec(secFunction, vec(num(0))),
			sec(secCode, vec(code())),
			custom("name", names), custom(".debug_info", []byte("offsets")), custom("producers", vec()))
	}
	m, err := Parse(rewritten(t, original(names), Options{}), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for f, want := range []string{"ask", "", "f"} { // the yield lies between
		if got := m.FunctionName(uint32(f)); got != want {
			t.Errorf("function %d is called %q, want %q", f, got, want)
		}
	}
	customs := 0
	for _, s := range m.sections {
		if s.id == secCustom {
			customs++
		}
	}
	if customs != 3 {
		t.Errorf("%d custom sections, want marks, names and producers", customs)
	}
	for _, broken := range [][]byte{{1, 9}, {1, 2, 9, 9}, cat([]byte{1}, num(3), vec(num(1)), []byte{5}), {2, 3, 1, 1, 4}} {
		if _, err := Parse(rewritten(t, original(broken), Options{}), Limits{}); err != nil {
			t.Errorf("names % x: %v", broken, err)
		}
	}
}

func TestOperandsAreCountedAsTheyPileUp(t *testing.T) {
	pile := func(n int, between ...byte) []byte {
		var b []byte
		for range n {
			b = append(b, byte(opLocalGet), 0, 0x28, 2, 0) // i32.load
		}
		b = append(b, between...)
		for range n - 1 {
			b = append(b, byte(opI32Add))
		}
		return append(b, 0x1a)
	}
	for _, c := range []struct {
		name string
		body []byte
		want int
	}{
		{"nothing", nil, 0},
		{"one after the other", cat(pile(2), pile(3), pile(2)), 3},
		{"under a call", pile(500, byte(opLocalGet), 0, byte(opCall), 0), 501},
		{"under a block", pile(3, byte(opBlock), 0x40, byte(opI32Const), 0, 0x1a, byte(opEnd)), 4},
		{"in both arms of an if", cat([]byte{byte(opLocalGet), 0, byte(opIf), 0x40}, pile(4), []byte{byte(opElse)}, pile(5), []byte{byte(opEnd)}, pile(2)), 5},
		{"behind a branch", cat([]byte{byte(opBlock), 0x40}, pile(2), []byte{byte(opBr), 0, byte(opI32Add), byte(opI32Add), byte(opEnd)}, pile(3)), 3},
		{"results of blocks", []byte{byte(opBlock), 0x7f, byte(opI32Const), 0, byte(opEnd), byte(opBlock), 0x7f, byte(opI32Const), 0, byte(opEnd), byte(opI32Add), 0x1a}, 2},
		{"stored, selected, filled", []byte{0x20, 0, 0x20, 0, 0x36, 2, 0, 0x20, 0, 0x20, 0, 0x20, 0, 0x1b, 0x1a, 0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 11, 0, 0x20, 0, 0x1a}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse(wasm(sec(secType, vec(fn("i32", ""))), sec(secFunction, vec(num(0))), sec(secMemory, vec([]byte{0, 1})),
				sec(secCode, vec(code(c.body...)))), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := m.operands(&m.bodies[0]); got != c.want {
				t.Errorf("%d operands, want %d", got, c.want)
			}
		})
	}
}

func TestOurStackEndsBeforeTheEngines(t *testing.T) {
	var operands, locals []byte
	for i := range byte(100) {
		operands = append(operands, byte(opI32Const), i&63, 0x28, 2, i&63) // i32.load
		locals = append(locals, byte(opI32Const), i&63, 0x28, 2, i&63, byte(opLocalSet), i&63)
	}
	operands = append(operands, byte(opCall), 0)
	locals = append(locals, byte(opCall), 0)
	for i := range byte(100) {
		operands = append(operands, byte(opLocalSet), 0, byte(opI32Const), 0, byte(opLocalGet), 0, 0x36, 2, 0) // i32.store
		locals = append(locals, byte(opI32Const), 0, byte(opLocalGet), i&63, 0x36, 2, 0)
	}
	for _, c := range []struct {
		name string
		body []byte
	}{{"of nothing", []byte{byte(opCall), 0}}, {"of operands", operands}, {"of locals", locals}} {
		t.Run(c.name, func(t *testing.T) {
			original := wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0))), sec(secMemory, vec([]byte{0, 1})),
				sec(secExport, vec(cat(str("f"), []byte{0, 0}))), sec(secCode, vec(codeLocals([]byte{64, byte(I32)}, c.body...))))
			ctx := context.Background()
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			defer r.Close(ctx)
			if _, err := instantiate(t, r, rewritten(t, original, Options{})).call("f"); !errors.Is(err, errStopped) {
				t.Errorf("ended by %v, want our own stop", err)
			}
		})
	}
}
