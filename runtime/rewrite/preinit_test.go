package rewrite

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// stateful is a module with a global of each type, memory with data, and a start function that counts in global 0.
func stateful(extra ...byte) []byte {
	zero := func(t ValueType, mutable byte) []byte {
		return append(appendConst([]byte{byte(t), mutable}, t, Global{}), byte(opEnd))
	}
	return wasm(
		sec(secType, vec(fn("", ""), fn("", "i64"))),
		sec(secFunction, vec(num(0), num(0), num(1))),
		sec(secTable, vec([]byte{byte(FuncRef), 0, 1})),
		sec(secMemory, vec([]byte{1, 1, 4})),
		sec(secGlobal, vec(zero(I32, 1), zero(I64, 1), zero(F32, 1), zero(F64, 1), zero(V128, 1), zero(I32, 0))),
		sec(secExport, vec(cat(str("_start"), []byte{0, 1}), cat(str("high"), []byte{0, 2}))),
		sec(secStart, num(0)),
		sec(secElement, vec(cat([]byte{0, byte(opI32Const), 0, byte(opEnd)}, vec(num(1))))),
		sec(secDataCount, num(2)),
		sec(secCode, vec(
			code(append([]byte{0x23, 0, 0x41, 1, 0x6a, 0x24, 0}, extra...)...),
			code(0x41, 8, 0x41, 0, 0x41, 2, 0xfc, 8, 1, 0),
			code(0x23, 4, 0xfd, 29, 1))),
		sec(secData, vec(cat([]byte{0, byte(opI32Const), 0, byte(opEnd)}, str("hello")), cat([]byte{1}, str("hi")))),
	)
}

func TestPreinitialisedInstanceStartsFromTheImage(t *testing.T) {
	first := rewritten(t, stateful(), Options{Entry: true, State: true})
	m, err := Parse(first, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	facts := m.Facts()
	if !facts.Metered || !facts.Entry || !facts.PlainState() || facts.MemoryExport != MemoryExport {
		t.Fatalf("facts of the rewritten module: %+v", facts)
	}
	want := []Global{{Lo: 0xfffffff9}, {Lo: 1 << 63}, {Lo: uint64(math.Float32bits(1.5))}, {Lo: math.Float64bits(-2.5)}, {Lo: 3, Hi: 4}, {}}
	out, err := Preinitialise(m, Image{Pages: 3, Globals: want})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(out, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if f := again.Facts(); !f.Preinitialised || !f.Metered || !f.Entry || f.HasStart || f.MemoryMin != 3 || f.MemoryMax != 4 {
		t.Errorf("facts of the pre-initialised module: %+v", f)
	}
	if _, err = Preinitialise(again, Image{Pages: 3, Globals: want}); !errors.Is(err, ErrRewritten) {
		t.Errorf("a second time: %v", err)
	}
	engines(t, func(t *testing.T, r wazero.Runtime) {
		entered := 0
		host(t, r, func() { entered++ })
		g := instantiate(t, r, out)
		for i, v := range want[:4] {
			if got := g.ExportedGlobal(GlobalExport + string(rune('0'+i))).Get(); got != v.Lo {
				t.Errorf("global %d is %#x, want %#x", i, got, v.Lo)
			}
		}
		if high, err := g.call("high"); err != nil || high[0] != 4 {
			t.Errorf("upper half of the v128 is %v, %v; want 4", high, err)
		}
		memory := g.ExportedMemory(MemoryExport)
		if b, _ := memory.Read(0, 5); memory.Size() != 3<<16 || string(b) != "\x00\x00\x00\x00\x00" {
			t.Errorf("memory of %d bytes begins with %q", memory.Size(), b)
		}
		if _, err := g.call(EntryExport); err != nil || entered != 1 {
			t.Errorf("entry: %v, %d times through the hook", err, entered)
		}
		if b, _ := memory.Read(8, 2); string(b) != "hi" {
			t.Errorf("memory.init of the passive segment copied %q", b)
		}
		if c := Counter(g.counter().Get()); c.StackSpent() {
			t.Error("the counter's global lost its start value")
		}
	})
}

// host provides the added imports, the hook calling entered.
func host(t testing.TB, r wazero.Runtime, entered func()) {
	t.Helper()
	_, err := r.NewHostModuleBuilder(HostModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
		c := m.ExportedGlobal(FuelExport).(api.MutableGlobal)
		c.Set(uint64(Counter(c.Get()).Refuel(Refill)))
	}), nil, nil).Export(YieldImport).
		NewFunctionBuilder().WithFunc(func() int32 { entered(); return 0 }).Export(HookImport).Instantiate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
}

func TestPreinitialiseRefuses(t *testing.T) {
	parse := func(wasm []byte) *Module {
		m, err := Parse(wasm, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	metered := parse(rewritten(t, stateful(), Options{}))
	drop := parse(rewritten(t, stateful(0xfc, 9, 1), Options{}))
	tables := parse(rewritten(t, stateful(0x41, 0, 0xd0, 0x70, 0x26, 0), Options{}))
	all := make([]Global, 6)
	for _, c := range []struct {
		name string
		m    *Module
		i    Image
		kind error
	}{
		{"a module that is not metered", parse(stateful()), Image{1, all}, ErrRewritten},
		{"code that sets table elements", tables, Image{1, all}, ErrUnsupported},
		{"code that drops a segment it copies from", drop, Image{1, all}, ErrUnsupported},
		{"an image with too few globals", metered, Image{1, all[:5]}, ErrMalformed},
		{"an image above the memory's maximum", metered, Image{5, all}, ErrMalformed},
		{"memory for a module without", parse(rewritten(t, wasm(), Options{})), Image{1, all[:1]}, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Preinitialise(c.m, c.i); !errors.Is(err, c.kind) {
				t.Errorf("error %v, want %v", err, c.kind)
			}
		})
	}
}

func TestDataSegmentsThatNoCodeNamesGo(t *testing.T) {
	original := wasm(sec(secMemory, vec([]byte{0, 1})), sec(secDataCount, num(1)),
		sec(secData, vec(cat([]byte{0, byte(opI32Const), 0, byte(opEnd)}, str("hello")))))
	m, err := Parse(rewritten(t, original, Options{}), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Preinitialise(m, Image{Pages: 2, Globals: make([]Global, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = Parse(out, Limits{}); err != nil || m.Facts().DataSegments != 0 || m.Facts().MemoryMin != 2 {
		t.Errorf("parsed with %v: %+v", err, m.Facts())
	}
}

func TestImportedMemoryBecomesTheModulesOwn(t *testing.T) {
	original := wasm(
		sec(secType, vec(fn("", ""), fn("", "i32"))),
		sec(secImport, vec(cat(str("env"), str("memory"), []byte{2, 1, 2, 9}), cat(str("env"), str("f"), []byte{0, 0}))),
		sec(secFunction, vec(num(1))),
		sec(secExport, vec(cat(str("pages"), []byte{0, 1}))),
		sec(secCode, vec(code(byte(opMemorySize), 0))),
	)
	out := rewritten(t, original, Options{State: true})
	m, err := Parse(out, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if f := m.Facts(); f.MemoryImported || f.MemoryMin != 2 || f.MemoryMax != 9 || f.MemoryExport != MemoryExport || !f.Imported("env", "f") {
		t.Errorf("facts: %+v", f)
	}
	engines(t, func(t *testing.T, r wazero.Runtime) {
		if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() {}).Export("f").Instantiate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if pages, err := instantiate(t, r, out).call("pages"); err != nil || pages[0] != 2 {
			t.Errorf("memory of %v pages, %v; want 2", pages, err)
		}
	})
}

func TestEntryNeedsAStartFunction(t *testing.T) {
	for name, wasm := range map[string][]byte{
		"without _start":         one(),
		"_start with parameters": wasm(sec(secType, vec(fn("i32", ""))), sec(secFunction, vec(num(0))), sec(secExport, vec(cat(str("_start"), []byte{0, 0}))), sec(secCode, vec(code()))),
	} {
		m, err := Parse(wasm, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Rewrite(m, Options{Entry: true}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}
