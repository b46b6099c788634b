package rewrite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"hearth/testdata/guests"
)

// The tests here run a module and its rewritten self side by side: same calls, same answers of the host, and compare
// results, traps, memory, globals and what the host was asked.

// trace is one run's record. Host functions answer by a formula over the call's number and arguments.
type trace struct {
	lines  []string
	asked  uint64
	yields int
	limit  int // of yields, per call
}

var errTooLong = errors.New("the test's patience is over")

func (h *trace) say(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

// imports gives every function a module imports to the runtime, and hearth.yield.
func (h *trace) imports(ctx context.Context, r wazero.Runtime, m *Module) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for i := range m.imports {
		im := &m.imports[i]
		if im.Kind == KindMemory {
			continue
		}
		if im.Kind != KindFunction {
			return fmt.Errorf("imports a kind %d", im.Kind)
		}
		b := builders[string(im.Module)]
		if b == nil {
			b = r.NewHostModuleBuilder(string(im.Module))
			builders[string(im.Module)] = b
		}
		name, sig := string(im.Module)+"."+string(im.Name), im.Type
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			if h.asked++; h.asked > 10_000 {
				panic(errTooLong)
			}
			h.answer(name, sig, stack)
		}), valueTypes(sig.Params), valueTypes(sig.Results)).Export(string(im.Name))
	}
	b := builders[HostModule]
	if b == nil {
		b = r.NewHostModuleBuilder(HostModule)
		builders[HostModule] = b
	}
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
		counter := m.ExportedGlobal(FuelExport).(api.MutableGlobal)
		c := Counter(counter.Get())
		if h.yields++; c.StackSpent() || h.yields > h.limit {
			panic(errTooLong)
		}
		counter.Set(uint64(c.Refuel(Refill)))
	}), nil, nil).Export(YieldImport)
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

func valueTypes(types []byte) []api.ValueType { return types }

func (h *trace) answer(name string, sig FuncType, stack []uint64) {
	sum := fnv.New64a()
	args := make([]uint64, len(sig.Params))
	for i, t := range sig.Params {
		args[i] = canonical(t, stack[i])
		_ = binary.Write(sum, binary.LittleEndian, args[i])
	}
	h.say("host %s%v", name, args)
	for i, t := range sig.Results {
		stack[i] = 0
		if t == byte(I32) || t == byte(I64) {
			stack[i] = canonical(t, sum.Sum64()>>(h.asked%3*24)) & 0xff
		}
	}
}

// canonical is a value without the bits its type does not define, and with one NaN.
func canonical(t byte, v uint64) uint64 {
	switch ValueType(t) {
	case I32:
		return uint64(uint32(v))
	case F32:
		if f := math.Float32frombits(uint32(v)); f != f {
			return uint64(math.Float32bits(float32(math.NaN())))
		}
		return uint64(uint32(v))
	case F64:
		if f := math.Float64frombits(v); f != f {
			return math.Float64bits(math.NaN())
		}
	case FuncRef, ExternRef:
		return min(v, 1) // a pointer
	}
	return v
}

// run instantiates a module and calls its exported functions, each a few times. It returns what could be observed;
// over is true when patience ended or most calls were made; then the last call is missing.
func run(t testing.TB, r wazero.Runtime, m *Module, binary []byte, seed uint64, most int) (h *trace, over bool, err error) {
	t.Helper()
	ctx := context.Background()
	h = &trace{limit: 10}
	if err = h.imports(ctx, r, m); err != nil {
		return nil, false, err
	}
	g, err := r.InstantiateWithConfig(ctx, binary, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		h.say("instantiate: %s", kindOf(err))
		return h, errors.Is(err, errTooLong), nil
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	calls := 0
	for i := range m.exports {
		e := &m.exports[i]
		if e.Kind != KindFunction {
			continue
		}
		f := g.ExportedFunction(string(e.Name))
		for range 3 {
			args := make([]uint64, 0, len(e.Type.Params))
			for _, p := range e.Type.Params {
				v := argument(rng, p)
				if m.uses.tableGrow {
					v &= 0xfff // the original grows tables without bound
				}
				args = append(args, v)
				if p == byte(V128) {
					args = append(args, rng.Uint64())
				}
			}
			if calls++; calls > most {
				return h, true, nil
			}
			h.yields, h.asked = 0, 0
			if c := g.ExportedGlobal(FuelExport); c != nil {
				c.(api.MutableGlobal).Set(uint64(NewCounter(Refill, 256<<10)))
			}
			results, err := f.Call(ctx, args...)
			if err != nil && (errors.Is(err, errTooLong) || strings.Contains(err.Error(), "stack overflow")) {
				return h, true, nil
			}
			if c := g.ExportedGlobal(FuelExport); c != nil && err == nil && Counter(c.Get())>>32 != NewCounter(0, 256<<10)>>32 {
				t.Errorf("%s%v did not give its stack back", e.Name, args)
			}
			for j, ty := range e.Type.Results {
				if j < len(results) && ty != byte(V128) {
					results[j] = canonical(ty, results[j])
				}
			}
			h.say("%s%v = %v, %s", e.Name, args, results, kindOf(err))
		}
	}
	h.state(g, m)
	return h, false, nil
}

// state records memory and exported globals.
func (h *trace) state(g api.Module, m *Module) {
	if memory := g.Memory(); len(m.memories) > 0 {
		sum := fnv.New64a()
		b, _ := memory.Read(0, memory.Size())
		_, _ = sum.Write(b)
		h.say("memory of %d bytes, sum %x", memory.Size(), sum.Sum64())
	}
	for i := range m.exports {
		if e := &m.exports[i]; e.Kind == KindGlobal {
			h.say("global %s = %d", e.Name, canonical(byte(m.globals[e.Index].typ), g.ExportedGlobal(string(e.Name)).Get()))
		}
	}
}

func argument(rng *rand.Rand, t byte) uint64 {
	v := rng.Uint64() >> rng.IntN(64)
	if rng.IntN(4) == 0 {
		v = -v
	}
	switch ValueType(t) {
	case I32:
		return uint64(uint32(v))
	case F32:
		return uint64(math.Float32bits(float32(int32(v)) / 8))
	case F64:
		return math.Float64bits(float64(int64(v)) / 8)
	case FuncRef, ExternRef:
		return 0
	}
	return v
}

// kindOf is the first line of an error: what trapped, without the stack.
func kindOf(err error) string {
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		return exit.Error()
	}
	if err == nil {
		return "no error"
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	if strings.HasPrefix(first, "start function[") { // its index moves
		_, first, _ = strings.Cut(first, "]")
	}
	return first
}

// differ runs a valid module before and after and reports whether it could be compared.
func differ(t testing.TB, config wazero.RuntimeConfig, original []byte, seed uint64) bool {
	t.Helper()
	ctx := context.Background()
	m, err := Parse(original, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Rewrite(m, Options{State: true})
	if err != nil {
		t.Fatal(err)
	}
	// The metered one first: it ends whatever the module does, and says how far the original may be let run.
	most := 200
	r := wazero.NewRuntimeWithConfig(ctx, config)
	after, over, err := run(t, r, m, out, seed, most)
	r.Close(ctx)
	if err != nil || over && len(after.lines) == 0 {
		return false
	}
	if over {
		most = 0
		for _, l := range after.lines {
			if !strings.HasPrefix(l, "host ") {
				most++
			}
		}
		for len(after.lines) > 0 && strings.HasPrefix(after.lines[len(after.lines)-1], "host ") {
			after.lines = after.lines[:len(after.lines)-1]
		}
	}
	r = wazero.NewRuntimeWithConfig(ctx, config)
	defer r.Close(ctx)
	before, _, err := run(t, r, m, ownMemory(t, m, original), seed, most)
	if err != nil {
		return false
	}
	for i := range min(len(before.lines), len(after.lines)) {
		if before.lines[i] != after.lines[i] {
			t.Errorf("line %d:\nbefore: %s\nafter:  %s", i, before.lines[i], after.lines[i])
			return true
		}
	}
	if len(before.lines) != len(after.lines) {
		t.Errorf("%d lines before, %d after", len(before.lines), len(after.lines))
	}
	return true
}

// ownMemory gives the original the memory that Rewrite gives it, and changes nothing else.
func ownMemory(t testing.TB, m *Module, original []byte) []byte {
	t.Helper()
	if m.importedMemories == 0 {
		return original
	}
	w := newRewriter(m)
	for i := range m.bodies {
		w.bodies.add(append(appendU32(nil, uint32(m.bodies[i].len())), original[m.bodies[i].start:m.bodies[i].end]...)...)
	}
	w.code = appendVector(nil, w.bodies.count, w.bodies.items)
	w.bodies = additions{}
	return w.assemble("for comparison", w.section)
}

// scale multiplies how long the heavier tests run.
func scale(t testing.TB) int {
	s := os.Getenv("CHECK_SCALE")
	if s == "" {
		return 1
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("CHECK_SCALE=%q, a whole number above 0 allowed", s)
	}
	return n
}

func configs() map[string]wazero.RuntimeConfig {
	return map[string]wazero.RuntimeConfig{
		"interpreter": wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(1024),
		"compiler":    wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(1024),
	}
}

func TestRewrittenModulesOfTheCorpusBehaveTheSame(t *testing.T) {
	ctx := context.Background()
	modules := make(map[string][]byte)
	for i, path := range corpusFiles(t, ".") {
		if scale(t) > 1 || i%8 == 0 {
			wasm, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			modules[strings.TrimPrefix(path, wazeroDir())] = wasm
		}
	}
	for _, g := range guests.List(t) {
		if !strings.HasPrefix(g.Name, "hostile/") { // not to be run unmetered
			modules[g.Name] = g.Wasm(t)
		}
	}
	check := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer check.Close(ctx)
	for name, wasm := range modules {
		if _, err := Parse(wasm, Limits{}); err != nil || len(wasm) > 1<<20 || compiles(ctx, check, wasm) != nil {
			delete(modules, name)
		}
	}
	for engine, config := range configs() {
		t.Run(engine, func(t *testing.T) {
			compared := 0
			for name, wasm := range modules {
				t.Run(name, func(t *testing.T) {
					if differ(t, config, wasm, 1) {
						compared++
					}
				})
			}
			if compared < 200 {
				t.Errorf("only %d modules could be compared", compared)
			}
			t.Logf("%d modules compared", compared)
		})
	}
}
