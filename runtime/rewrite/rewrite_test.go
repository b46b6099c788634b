package rewrite

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

type guestKey struct{}

var errStopped = errors.New("stopped by the test")

// guest is an instance of a rewritten module whose host module refuels it until stop says otherwise.
type guest struct {
	api.Module
	yields int
	stop   func(c Counter) bool
}

func (g *guest) counter() api.MutableGlobal { return g.ExportedGlobal(FuelExport).(api.MutableGlobal) }

// instantiate runs a module with the added imports. Everything else it imports must be there already.
func instantiate(t testing.TB, r wazero.Runtime, wasm []byte) *guest {
	t.Helper()
	ctx := context.Background()
	g := &guest{stop: Counter.StackSpent}
	if r.Module(HostModule) == nil {
		_, err := r.NewHostModuleBuilder(HostModule).
			NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, _ []uint64) {
			g, c := ctx.Value(guestKey{}).(*guest), m.ExportedGlobal(FuelExport).(api.MutableGlobal)
			if g.yields++; g.stop(Counter(c.Get())) {
				panic(errStopped)
			}
			c.Set(uint64(Counter(c.Get()).Refuel(Refill)))
		}), nil, nil).Export(YieldImport).Instantiate(ctx)
		if err != nil {
			t.Fatal(err)
		}
	}
	m, err := r.InstantiateWithConfig(context.WithValue(ctx, guestKey{}, g), wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	g.Module = m
	return g
}

func rewritten(t testing.TB, wasm []byte, o Options) []byte {
	t.Helper()
	m, err := Parse(wasm, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Rewrite(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRewriteKeepsEveryModuleOfTheCorpusValid(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(ctx)
	done := 0
	for i, path := range corpusFiles(t, ".") {
		if testing.Short() && i%8 != 0 {
			continue
		}
		wasm, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(wasm, Limits{})
		if err != nil {
			continue
		}
		before := compiles(ctx, r, wasm)
		out, err := Rewrite(m, Options{State: true})
		if err != nil {
			t.Errorf("%s: %v", strings.TrimPrefix(path, wazeroDir()), err)
			continue
		}
		after := compiles(ctx, r, out)
		if (before == nil) != (after == nil) {
			t.Errorf("%s: compiled before: %v; after: %v", strings.TrimPrefix(path, wazeroDir()), before, after)
		}
		if _, err := Parse(out, Limits{}); err != nil {
			t.Errorf("%s: does not parse afterwards: %v", strings.TrimPrefix(path, wazeroDir()), err)
		}
		if before == nil {
			done++
		}
	}
	if done < 200 {
		t.Errorf("only %d valid modules were rewritten", done)
	}
	t.Logf("%d valid modules rewritten", done)
}

func TestRewriteRefusesModulesThatCarryItsMarks(t *testing.T) {
	for _, c := range []struct {
		name string
		wasm []byte
	}{
		{"the section", wasm(custom(markSection, nil))},
		{"its own output", rewritten(t, one(), Options{})},
		{"the import hearth.yield", wasm(sec(secType, vec(fn("", ""))), sec(secImport, vec(cat(str("hearth"), str("yield"), []byte{0, 0}))))},
		{"an export hearth_fuel", wasm(sec(secGlobal, vec([]byte{byte(I32), 0, byte(opI32Const), 0, byte(opEnd)})), sec(secExport, vec(cat(str("hearth_fuel"), []byte{3, 0}))))},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse(c.wasm, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = Rewrite(m, Options{}); !errors.Is(err, ErrRewritten) {
				t.Errorf("error %v, want one that is ErrRewritten", err)
			}
		})
	}
}

func TestCounterHoldsFuelAndDepth(t *testing.T) {
	c := NewCounter(10, 100)
	if c.FuelSpent() || c.StackSpent() {
		t.Error("a fresh counter is spent")
	}
	if c += 9; c.FuelSpent() {
		t.Error("9 of 10 units spend the fuel")
	}
	if c += 1; !c.FuelSpent() || c.StackSpent() {
		t.Error("10 of 10 units do not spend the fuel alone")
	}
	if c += 99 << 32; c.StackSpent() {
		t.Error("99 of 100 bytes spend the stack")
	}
	if c = c.Refuel(5) + 4; c.FuelSpent() || c.StackSpent() {
		t.Error("4 of 5 new units spend something")
	}
	if c += 1 << 32; !c.StackSpent() || c.FuelSpent() {
		t.Error("100 of 100 bytes do not spend the stack alone")
	}
	if !NewCounter(0, 1).FuelSpent() || !NewCounter(1, 0).StackSpent() {
		t.Error("an allowance of zero is not spent")
	}
}

// fibWasm is fib(n) by recursion, exported as "fib".
func fibWasm() []byte {
	return wasm(
		sec(secType, vec(fn("i32", "i32"))),
		sec(secFunction, vec(num(0))),
		sec(secExport, vec(cat(str("fib"), []byte{0, 0}))),
		sec(secCode, vec(code(
			0x20, 0, 0x41, 2, 0x48, 0x04, 0x40, 0x20, 0, 0x0f, 0x0b,
			0x20, 0, 0x41, 1, 0x6b, 0x10, 0, 0x20, 0, 0x41, 2, 0x6b, 0x10, 0, 0x6a))),
	)
}

func engines(t *testing.T, test func(t *testing.T, r wazero.Runtime)) {
	for name, c := range map[string]wazero.RuntimeConfig{
		"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter()} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			r := wazero.NewRuntimeWithConfig(ctx, c)
			defer r.Close(ctx)
			test(t, r)
		})
	}
}

// call sets the counter, calls and returns the result.
func (g *guest) call(name string, args ...uint64) ([]uint64, error) {
	g.counter().Set(uint64(NewCounter(10_000, DefaultStack)))
	return g.ExportedFunction(name).Call(context.WithValue(context.Background(), guestKey{}, g), args...)
}

func TestRewrittenGuestComputesTheSame(t *testing.T) {
	engines(t, func(t *testing.T, r wazero.Runtime) {
		g := instantiate(t, r, rewritten(t, fibWasm(), Options{}))
		got, err := g.call("fib", 20)
		if err != nil || got[0] != 6765 {
			t.Fatalf("fib(20) = %v, %v; want 6765", got, err)
		}
		if g.yields == 0 {
			t.Error("it never yielded")
		}
		c := Counter(g.counter().Get())
		if depth := c>>32 - NewCounter(0, DefaultStack)>>32; depth != 0 {
			t.Errorf("%d bytes of stack were not given back", depth)
		}
	})
}

func TestRewrittenGuestIsStopped(t *testing.T) {
	loop := []byte{byte(opLoop), 0x40, byte(opBr), 0, byte(opEnd)}
	recursive := []byte{byte(opCall), 0, byte(opCall), 0}
	fill := []byte{byte(opI32Const), 0, byte(opI32Const), 0, byte(opI32Const), 0x80, 0x80, 0x04, 0xfc, 11, 0}
	straight := make([]byte, 0, 100_000*len(fill))
	for range 100_000 {
		straight = append(straight, fill...)
	}
	mutual := []byte{byte(opI32Const), 0, byte(opCallIndirect), 0, 0}
	for _, c := range []struct {
		name  string
		code  []byte
		depth bool
	}{
		{"in an empty loop", loop, false},
		{"in recursion without end", recursive, true},
		{"in recursion through a table", mutual, true},
		{"in a straight line of memory.fill", straight, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			engines(t, func(t *testing.T, r wazero.Runtime) {
				original := wasm(
					sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0))),
					sec(secTable, vec([]byte{byte(FuncRef), 0, 1})), sec(secMemory, vec([]byte{0, 1})),
					sec(secExport, vec(cat(str("f"), []byte{0, 0}))),
					sec(secElement, vec(cat([]byte{0, byte(opI32Const), 0, byte(opEnd)}, vec(num(0))))),
					sec(secCode, vec(code(c.code...))))
				g := instantiate(t, r, rewritten(t, original, Options{}))
				spent := false
				g.stop = func(c Counter) bool { spent = c.StackSpent(); return spent || g.yields > 50 }
				g.counter().Set(uint64(NewCounter(Refill, 100_000)))
				_, err := g.ExportedFunction("f").Call(context.WithValue(context.Background(), guestKey{}, g))
				if !errors.Is(err, errStopped) || spent != c.depth {
					t.Errorf("stopped with %v, stack spent %v; want that to be %v", err, spent, c.depth)
				}
			})
		})
	}
}
