package rewrite

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func TestParseRefuses(t *testing.T) {
	long := bytes.Repeat([]byte{0x80}, 5)
	blocks := bytes.Repeat([]byte{byte(opBlock), 0x40}, 30)
	for _, c := range []struct {
		name   string
		wasm   []byte
		limits Limits
		kind   error
		say    string
	}{
		{"nothing", nil, Limits{}, ErrMalformed, "too short"},
		{"text", []byte("(module $something)"), Limits{}, ErrMalformed, `does not start with "\0asm"`},
		{"another version", []byte("\x00asm\x02\x00\x00\x00"), Limits{}, ErrMalformed, "version 02 00 00 00"},
		{"a component, and says what to build instead", []byte("\x00asm\x0d\x00\x01\x00rest"), Limits{}, ErrUnsupported, "GOOS=wasip1"},
		{"an unknown section", wasm([]byte{14, 0}), Limits{}, ErrMalformed, "unknown section 14"},
		{"a section longer than the module", wasm([]byte{1, 5, 0}), Limits{}, ErrMalformed, "type section: 5 bytes announced, 1 left"},
		{"a section with a size of six bytes", wasm(cat([]byte{1}, long, []byte{0})), Limits{}, ErrMalformed, "longer than 32 bits"},
		{"sections out of order", wasm(sec(secFunction, vec()), sec(secType, vec())), Limits{}, ErrMalformed, "out of order"},
		{"data count after code", wasm(sec(secCode, vec()), sec(secDataCount, num(0))), Limits{}, ErrMalformed, "out of order"},
		{"a repeated section", wasm(sec(secType, vec()), sec(secType, vec())), Limits{}, ErrMalformed, "repeated"},
		{"bytes after a section's content", wasm(sec(secType, vec(), []byte{0})), Limits{}, ErrMalformed, "1 bytes too many"},
		{"a count of four billion types", wasm(sec(secType, num(0xffffffff))), Limits{}, ErrLimit, "types: 4294967295"},
		{"a count beyond the bytes left", wasm(sec(secType, num(1000))), Limits{}, ErrMalformed, "1000 announced"},
		{"a struct type", wasm(sec(secType, vec([]byte{0x5f, 0, 0}))), Limits{}, ErrUnsupported, "garbage collection"},
		{"a type of unknown form", wasm(sec(secType, vec([]byte{0x61, 0, 0}))), Limits{}, ErrMalformed, "unknown form 0x61"},
		{"a typed reference", wasm(sec(secType, vec([]byte{0x60, 1, 0x63, 0}))), Limits{}, ErrUnsupported, "typed function references"},
		{"an exception reference", wasm(sec(secType, vec([]byte{0x60, 1, 0x69, 0}))), Limits{}, ErrUnsupported, "exception handling"},
		{"an unknown value type", wasm(sec(secType, vec([]byte{0x60, 1, 0x01, 0}))), Limits{}, ErrMalformed, "0x01 is not a type"},
		{"an import of a missing type", wasm(sec(secImport, vec(cat(str("a"), str("b"), []byte{0, 0})))), Limits{}, ErrMalformed, "type 0 does not exist"},
		{"an import name that is not UTF-8", wasm(sec(secImport, vec(cat(str("\xff"), str("b"), []byte{0, 0})))), Limits{}, ErrMalformed, "not UTF-8"},
		{"an import of unknown kind", wasm(sec(secImport, vec(cat(str("a"), str("b"), []byte{9, 0})))), Limits{}, ErrMalformed, "unknown kind 9"},
		{"an imported tag", wasm(sec(secImport, vec(cat(str("a"), str("b"), []byte{4, 0})))), Limits{}, ErrUnsupported, "exception handling"},
		{"a tag section", wasm(sec(secTag, vec())), Limits{}, ErrUnsupported, "exception handling"},
		{"shared memory", wasm(sec(secMemory, vec([]byte{3, 1, 2}))), Limits{}, ErrUnsupported, "threads"},
		{"64-bit memory", wasm(sec(secMemory, vec([]byte{4, 1}))), Limits{}, ErrUnsupported, "64-bit memory"},
		{"two memories", wasm(sec(secMemory, vec([]byte{0, 1}, []byte{0, 1}))), Limits{}, ErrUnsupported, "multiple memories"},
		{"limits of unknown form", wasm(sec(secMemory, vec([]byte{9, 1}))), Limits{}, ErrMalformed, "unknown form 0x09"},
		{"a memory above 4 GiB", wasm(sec(secMemory, vec(cat([]byte{0}, num(65537))))), Limits{}, ErrMalformed, "65536 pages"},
		{"a memory with a minimum above its maximum", wasm(sec(secMemory, vec([]byte{1, 2, 1}))), Limits{}, ErrMalformed, "above its maximum"},
		{"a memory above the limit", wasm(sec(secMemory, vec([]byte{0, 9}))), Limits{MemoryPages: 8}, ErrLimit, "memory pages: 9, at most 8"},
		{"a table above the limit", wasm(sec(secTable, vec([]byte{byte(FuncRef), 0, 9}))), Limits{TableSize: 8}, ErrLimit, "table elements: 9"},
		{"a table with an initial value", wasm(sec(secTable, vec([]byte{0x40, 0, byte(FuncRef), 0, 9}))), Limits{}, ErrUnsupported, "typed function references"},
		{"a table of numbers", wasm(sec(secTable, vec([]byte{byte(I32), 0, 9}))), Limits{}, ErrMalformed, "0x7f is not a type"},
		{"too many tables", wasm(sec(secTable, vec([]byte{byte(FuncRef), 0, 1}, []byte{byte(FuncRef), 0, 1}))), Limits{Tables: 1}, ErrLimit, "tables: 2"},
		{"a global with an odd mutability", wasm(sec(secGlobal, vec([]byte{byte(I32), 2, byte(opI32Const), 0, byte(opEnd)}))), Limits{}, ErrMalformed, "mutability 0x02"},
		{"a global without a value", wasm(sec(secGlobal, vec([]byte{byte(I32), 0, byte(opEnd), 0, 0}))), Limits{}, ErrMalformed, "0 values"},
		{"an extended constant", wasm(sec(secGlobal, vec([]byte{byte(I32), 0, byte(opI32Const), 0, byte(opI32Const), 0, byte(opI32Add), byte(opEnd)}))), Limits{}, ErrUnsupported, "extended constant"},
		{"a constant that is none", wasm(sec(secGlobal, vec([]byte{byte(I32), 0, 0x45, byte(opEnd)}))), Limits{}, ErrMalformed, "i32.eqz is no constant"},
		{"a global of a later global", wasm(sec(secGlobal, vec([]byte{byte(I32), 0, byte(opGlobalGet), 0, byte(opEnd)}))), Limits{}, ErrMalformed, "global 0 does not exist here"},
		{"an export of a missing function", wasm(sec(secExport, vec(cat(str("f"), []byte{0, 0})))), Limits{}, ErrMalformed, "function 0 does not exist"},
		{"an export of unknown kind", wasm(sec(secExport, vec(cat(str("f"), []byte{7, 0})))), Limits{}, ErrMalformed, "unknown kind 7"},
		{"two exports of one name", wasm(sec(secMemory, vec([]byte{0, 1})), sec(secExport, vec(cat(str("m"), []byte{2, 0}), cat(str("m"), []byte{2, 0})))), Limits{}, ErrMalformed, `export "m" is repeated`},
		{"a function without a body", wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0)))), Limits{}, ErrMalformed, "1 functions are declared, 0 have a body"},
		{"a body without a function", wasm(sec(secCode, vec(code()))), Limits{}, ErrMalformed, "0 functions are declared, 1 have a body"},
		{"a data count that lies", wasm(sec(secDataCount, num(1))), Limits{}, ErrMalformed, "announces 1 segments"},
		{"too many data segments", wasm(sec(secDataCount, num(9))), Limits{DataSegments: 8}, ErrLimit, "data segments: 9"},
		{"a data segment of unknown form", wasm(sec(secMemory, vec([]byte{0, 1})), sec(secData, vec([]byte{3, 0}))), Limits{}, ErrMalformed, "unknown form 3"},
		{"a data segment without a memory", wasm(sec(secData, vec([]byte{0, byte(opI32Const), 0, byte(opEnd), 0}))), Limits{}, ErrMalformed, "without a memory"},
		{"a data segment for a second memory", wasm(sec(secMemory, vec([]byte{0, 1})), sec(secData, vec([]byte{2, 1, byte(opI32Const), 0, byte(opEnd), 0}))), Limits{}, ErrUnsupported, "multiple memories"},
		{"an element segment of unknown form", wasm(sec(secElement, vec([]byte{8, 0}))), Limits{}, ErrMalformed, "unknown form 8"},
		{"an element segment without a table", wasm(sec(secElement, vec([]byte{0, byte(opI32Const), 0, byte(opEnd), 0}))), Limits{}, ErrMalformed, "without a table"},
		{"an element of unknown kind", wasm(sec(secElement, vec([]byte{1, 4, 0}))), Limits{}, ErrMalformed, "element kind 0x04"},
		{"too many elements in all", wasm(sec(secElement, vec([]byte{5, byte(FuncRef), 1, byte(opRefNull), byte(FuncRef), byte(opEnd)}, []byte{5, byte(FuncRef), 1, byte(opRefNull), byte(FuncRef), byte(opEnd)}))), Limits{Elements: 1}, ErrLimit, "elements of all segments: 2"},
		{"an element that is a missing function", wasm(sec(secElement, vec([]byte{5, byte(FuncRef), 1, byte(opRefFunc), 3, byte(opEnd)}))), Limits{}, ErrMalformed, "function 3 does not exist"},
		{"too many functions", wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0), num(0)))), Limits{Functions: 1}, ErrLimit, "functions: 2"},
		{"too many sections", wasm(custom("a", nil), custom("b", nil)), Limits{Sections: 1}, ErrLimit, "sections: 2"},
		{"a module above the size limit", wasm(custom("a", nil)), Limits{Size: 8}, ErrLimit, "module bytes"},

		{"an unknown instruction", one(0x27), Limits{}, ErrMalformed, "function 0: unknown instruction 0x27"},
		{"an unknown numeric instruction", one(0xfc, 0x40), Limits{}, ErrMalformed, "unknown instruction 0xfc40"},
		{"an unknown vector instruction", one(0xfd, 0x9a, 0x01), Limits{}, ErrMalformed, "unknown instruction 0xfd9a"},
		{"a vector instruction far out", one(0xfd, 0x80, 0x80, 0x01), Limits{}, ErrMalformed, "unknown instruction 0xfd 16384"},
		{"a relaxed vector instruction", one(0xfd, 0x80, 0x02), Limits{}, ErrUnsupported, "relaxed SIMD"},
		{"an atomic instruction", one(0xfe, 0x03, 0x00), Limits{}, ErrUnsupported, "threads"},
		{"a legacy try", one(0x06, 0x40), Limits{}, ErrUnsupported, "legacy exception handling"},
		{"a throw", one(0x08, 0x00), Limits{}, ErrUnsupported, "exception handling"},
		{"a struct instruction", one(0xfb, 0x00), Limits{}, ErrUnsupported, "garbage collection"},
		{"a typed call", one(0x14, 0x00), Limits{}, ErrUnsupported, "typed function references"},
		{"a wide addition", one(0xfc, 0x13), Limits{}, ErrUnsupported, "wide arithmetic"},
		{"a tail call that was not allowed", one(0x12, 0x00), Limits{}, ErrUnsupported, "tail calls"},
		{"an indirect tail call that was not allowed", one(0x13, 0x00, 0x00), Limits{}, ErrUnsupported, "tail calls"},
		{"an else without if", one(byte(opBlock), 0x40, byte(opElse), byte(opEnd)), Limits{}, ErrMalformed, "else without if"},
		{"a second else", one(byte(opI32Const), 0, byte(opIf), 0x40, byte(opElse), byte(opElse), byte(opEnd)), Limits{}, ErrMalformed, "else without if"},
		{"a body that ends early", one(byte(opEnd)), Limits{}, ErrMalformed, "1 bytes too many"},
		{"a body that never ends", one(byte(opBlock), 0x40), Limits{}, ErrMalformed, "ends unexpectedly"},
		{"an unknown block type", one(byte(opBlock), 0x41, byte(opEnd)), Limits{}, ErrMalformed, "0x41 is not a type"},
		{"a negative block type", one(byte(opBlock), 0xff, 0x7e, byte(opEnd)), Limits{}, ErrMalformed, "unknown block type"},
		{"a block of a missing type", one(byte(opBlock), 9, byte(opEnd)), Limits{}, ErrMalformed, "type 9 does not exist"},
		{"a branch to a missing label", one(byte(opBr), 1), Limits{}, ErrMalformed, "br: label 1 does not exist"},
		{"a branch table with a missing label", one(byte(opI32Const), 0, byte(opBrTable), 1, 0, 7), Limits{}, ErrMalformed, "label 7"},
		{"a branch table above the limit", one(byte(opI32Const), 0, byte(opBrTable), 2, 0, 0, 0), Limits{BranchTargets: 1}, ErrLimit, "branch targets: 2"},
		{"a missing local", one(byte(opLocalGet), 0), Limits{}, ErrMalformed, "local 0 does not exist"},
		{"a missing global", one(byte(opGlobalGet), 1), Limits{}, ErrMalformed, "global 1 does not exist"},
		{"a write to an immutable global", one(byte(opI32Const), 0, byte(opGlobalSet), 0), Limits{}, ErrMalformed, "immutable global 0"},
		{"a call of a missing function", one(byte(opCall), 1), Limits{}, ErrMalformed, "function 1 does not exist"},
		{"an indirect call of a missing type", one(byte(opCallIndirect), 9, 0), Limits{}, ErrMalformed, "type 9"},
		{"an indirect call through a missing table", one(byte(opCallIndirect), 0, 1), Limits{}, ErrMalformed, "table 1"},
		{"a reference to a missing function", one(0xd2, 1), Limits{}, ErrMalformed, "function 1"},
		{"a missing table", one(0x25, 1), Limits{}, ErrMalformed, "table 1"},
		{"a missing element segment", one(0xfc, 0x0d, 0), Limits{}, ErrMalformed, "element segment 0"},
		{"a table.init of a missing segment", one(0xfc, 0x0c, 0, 0), Limits{}, ErrMalformed, "element segment 0"},
		{"a table.copy of a missing table", one(0xfc, 0x0e, 0, 1), Limits{}, ErrMalformed, "table 1"},
		{"a memory.init without data count", one(0xfc, 0x08, 0, 0), Limits{}, ErrMalformed, "without a data count section"},
		{"a load of another memory", one(0x28, 0x42, 0), Limits{}, ErrUnsupported, "multiple memories"},
		{"a load with an absurd alignment", one(0x28, 0x20, 0), Limits{}, ErrMalformed, "alignment 2^32"},
		{"a memory.size of another memory", one(0x3f, 1), Limits{}, ErrUnsupported, "multiple memories"},
		{"a lane out of range", one(0xfd, 0x15, 16), Limits{}, ErrMalformed, "lane 16, below 16"},
		{"a memory lane out of range", one(0xfd, 0x57, 0, 0, 2), Limits{}, ErrMalformed, "lane 2, below 2"},
		{"a shuffle lane out of range", one(cat([]byte{0xfd, 0x0d}, bytes.Repeat([]byte{32}, 16))...), Limits{}, ErrMalformed, "shuffle lane 32"},
		{"a select of two types", one(0x1c, 2, byte(I32), byte(I32)), Limits{}, ErrMalformed, "select has 2 types"},
		{"a ref.null of a number", one(0xd0, byte(I32)), Limits{}, ErrMalformed, "0x7f is not a type"},
		{"an i32 constant of 33 bits", one(byte(opI32Const), 0xff, 0xff, 0xff, 0xff, 0x0f), Limits{}, ErrMalformed, "longer than 32 bits"},
		{"an i64 constant of 11 bytes", one(cat([]byte{byte(opI64Const)}, bytes.Repeat([]byte{0x80}, 10), []byte{0})...), Limits{}, ErrMalformed, "longer than 64 bits"},
		{"blocks nested too deep", one(cat(blocks, bytes.Repeat([]byte{byte(opEnd)}, 30))...), Limits{Nesting: 29}, ErrLimit, "blocks inside one another: 30"},
		{"a body above the limit", one(1, 1, 1, 1), Limits{BodyLength: 5}, ErrLimit, "bytes of a function body: 6"},
		{"four billion locals", wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0))), sec(secCode, vec(codeLocals([]byte{1, byte(I32)})))), Limits{}, nil, ""},
		{"too many locals", wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0))), sec(secCode, vec(codeLocals([]byte{9, byte(I32), 9, byte(V128)})))), Limits{Locals: 17}, ErrLimit, "locals of a function: 18"},
		{"locals times blocks above the limit", wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0))), sec(secCode, vec(codeLocals([]byte{9, byte(I32)}, byte(opBlock), 0x40, byte(opEnd), byte(opLoop), 0x40, byte(opEnd))))), Limits{FrameWork: 17}, ErrLimit, "9 locals and parameters times 2 control structures: 18"},
		{"a call through a table of foreign references", wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0))), sec(secTable, vec([]byte{byte(ExternRef), 0, 1})), sec(secCode, vec(code(byte(opCallIndirect), 0, 0)))), Limits{}, ErrMalformed, "holds no functions"},
		{"memory instructions without a memory", wasm(sec(secType, vec(fn("", ""))), sec(secFunction, vec(num(0))), sec(secCode, vec(code(0x3f, 0)))), Limits{}, ErrMalformed, "memory.size without a memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.wasm, c.limits)
			if c.kind == nil {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, c.kind) {
				t.Fatalf("got %v, want kind %v", err, c.kind)
			}
			if !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %q, want it to say %q", err, c.say)
			}
		})
	}
}

func TestEveryFeatureHasANameAndAdvice(t *testing.T) {
	for f := FeatureTailCall; f <= FeatureComponents; f++ {
		if f.String() == "" {
			t.Errorf("feature %d has no name", f)
		}
		if f.advice() == "" && f != FeatureMultiMemory {
			t.Errorf("%s has no advice", f)
		}
	}
	if featureCore.advice() != "" {
		t.Error("advice against WebAssembly 2.0")
	}
}

// TestTheInstructionTableAgreesWithTheEngine offers every opcode in otherwise empty functions to both: what the engine
// calls an unknown instruction must be unknown here, and nothing else.
func TestTheInstructionTableAgreesWithTheEngine(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(ctx)
	known := 0
	for _, prefix := range []opcode{0, prefixNumeric, prefixVector} {
		for n := range opcode(256) {
			op := cat([]byte{byte(n)})
			if prefix != 0 {
				op = cat([]byte{byte(prefix >> 8)}, num(uint32(n)))
			}
			if prefix == 0 && (n == 0xfc || n == 0xfd) {
				continue
			}
			// unreachable makes every operand available; the padding is any instruction's immediates, then nops
			w := one(cat([]byte{byte(opUnreachable)}, op, make([]byte, 17))...)
			_, ours := Parse(w, Limits{})
			theirs := compiles(ctx, r, w)
			weDeny := ours != nil && strings.Contains(ours.Error(), "unknown instruction")
			theyDeny := theirs != nil && (strings.Contains(theirs.Error(), "invalid") && strings.Contains(theirs.Error(), "instruction") ||
				strings.Contains(theirs.Error(), "unknown") || strings.Contains(theirs.Error(), "invalid opcode"))
			if weDeny && !theyDeny {
				t.Errorf("0x%x %x: unknown here, but the engine says %v", prefix, n, theirs)
			}
			if ours == nil && theyDeny {
				t.Errorf("0x%x %x: known here, but the engine says %v", prefix, n, theirs)
			}
			if !weDeny {
				known++
			}
		}
	}
	if known < 400 {
		t.Errorf("only %d instructions are known", known)
	}
}

func TestNumbersAreReadAsTheyAreWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		v := int64(rng.Uint64()) >> rng.IntN(64)
		r := reader{buf: appendS64(nil, v)}
		if got := r.signed(64); got != v || r.err != nil || r.left() != 0 {
			t.Fatalf("%d was read as %d, %v", v, got, r.err)
		}
		r = reader{buf: appendS64(nil, int64(int32(v)))}
		if got := r.signed(32); got != int64(int32(v)) || r.err != nil {
			t.Fatalf("%d was read as %d, %v", int32(v), got, r.err)
		}
		r = reader{buf: appendU32(nil, uint32(v))}
		if got := r.u32(); got != uint32(v) || r.err != nil {
			t.Fatalf("%d was read as %d, %v", uint32(v), got, r.err)
		}
	}
}

// TestHostileCountsCostNoMemory: the announced sizes of these modules would need gigabytes.
func TestHostileCountsCostNoMemory(t *testing.T) {
	huge := num(0x0fffffff)
	loose := Limits{Types: 1 << 31, Imports: 1 << 31, Exports: 1 << 31, Functions: 1 << 31, Globals: 1 << 31,
		ElemSegments: 1 << 31, Elements: 1 << 31, DataSegments: 1 << 31, Params: 1 << 31, Tables: 1 << 31}
	var hostile [][]byte
	for id := range byte(13) {
		hostile = append(hostile, wasm(sec(id, huge)), wasm(sec(id, num(1), huge)))
	}
	hostile = append(hostile, one(cat([]byte{byte(opI32Const), 0, byte(opBrTable)}, huge)...),
		wasm(custom("name", cat([]byte{1}, num(6), huge, []byte{0}))), wasm(custom("producers", huge)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, w := range hostile {
		if _, err := Parse(w, loose); err == nil && w[8] != secCustom {
			t.Errorf("% x: accepted", w)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes allocated for %d small modules", grown, len(hostile))
	}
}

// sampleModules are a few real binaries for the tests that damage them.
func sampleModules(t testing.TB) map[string][]byte {
	t.Helper()
	samples := map[string][]byte{"by hand": one(1, 1, byte(opLoop), 0x40, byte(opEnd))}
	for _, path := range []string{
		"internal/integration_test/bench/testdata/case.wasm",
		"imports/wasi_snapshot_preview1/example/testdata/zig/cat.wasm",
		"internal/integration_test/spectest/v2/testdata/br_table.0.wasm",
		"internal/integration_test/spectest/v2/testdata/table_init.1.wasm",
		"internal/integration_test/spectest/v2/testdata/simd_load8_lane.0.wasm",
	} {
		b, err := os.ReadFile(filepath.Join(wazeroDir(), path))
		if err != nil {
			t.Fatal(err)
		}
		samples[path] = b
	}
	return samples
}

func TestNoTruncationIsAcceptedOrPanics(t *testing.T) {
	for name, w := range sampleModules(t) {
		m, err := Parse(w, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		whole := map[int]bool{len(w): true, 8: true} // cuts between sections can leave a module
		for _, s := range m.sections {
			whole[s.body.end] = true
		}
		for n := range w {
			if _, err := Parse(w[:n:n], Limits{}); err == nil && !whole[n] {
				t.Fatalf("%s: the first %d of %d bytes were accepted", name, n, len(w))
			}
		}
	}
}

func TestDamagedModulesNeverPanic(t *testing.T) {
	samples := sampleModules(t)
	each := 25_000 * scale(t) / len(samples)
	for name, w := range samples {
		rng := rand.New(rand.NewPCG(7, uint64(len(w))))
		accepted := 0
		for range each {
			if m, err := Parse(damage(rng, w), Limits{}); err == nil {
				accepted++
				rewriteAll(t, m)
			}
		}
		t.Logf("%s: %d of %d damaged copies still parse", name, accepted, each)
	}
}

// rewriteAll does everything this package can do to a parsed module and expects output that parses again.
func rewriteAll(t *testing.T, m *Module) {
	t.Helper()
	m.Facts()
	out, err := Rewrite(m, Options{State: true})
	if errors.Is(err, ErrRewritten) {
		return
	}
	if err != nil {
		t.Fatalf("a module that parses was refused: %v", err)
	}
	again, err := Parse(out, Limits{Size: 1 << 30, BodyLength: 1 << 30})
	if err != nil {
		t.Fatalf("what Rewrite made does not parse: %v", err)
	}
	f := again.Facts()
	out, err = Preinitialise(again, Image{Pages: f.MemoryMin, Globals: make([]Global, len(f.MutableGlobals))})
	if err == nil {
		_, err = Parse(out, Limits{Size: 1 << 30, BodyLength: 1 << 30})
	}
	if err != nil && !errors.Is(err, ErrUnsupported) {
		t.Fatalf("what Preinitialise made does not parse: %v", err)
	}
}

// damage returns a copy with a few bytes changed, inserted or removed.
func damage(rng *rand.Rand, w []byte) []byte {
	d := bytes.Clone(w)
	for range 1 + rng.IntN(3) {
		i := rng.IntN(len(d))
		switch rng.IntN(4) {
		case 0:
			d[i] ^= 1 << rng.IntN(8)
		case 1:
			d[i] = byte(rng.Uint32())
		case 2:
			d = append(d[:i], d[min(len(d), i+1+rng.IntN(4)):]...)
		case 3:
			d = append(d[:i], append([]byte{byte(rng.Uint32())}, d[i:]...)...)
		}
		if len(d) == 0 {
			return d
		}
	}
	return d
}

func FuzzParse(f *testing.F) {
	for _, w := range sampleModules(f) {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, w []byte) {
		m, err := Parse(w, Limits{})
		if err == nil {
			rewriteAll(t, m)
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
	})
}
