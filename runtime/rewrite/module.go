// Package rewrite reads WebAssembly modules and changes them before they are compiled.
//
// Parse checks a binary's structure under limits, in time linear in its size and without trusting any count in it, and
// refuses by name the features functions cannot use. It does not type-check the operand stack: the engine does, and
// refuses the same modules before and after.
package rewrite

import (
	"bytes"
	"sort"
)

// Section numbers of the binary format.
const (
	secCustom    byte = 0
	secType      byte = 1
	secImport    byte = 2
	secFunction  byte = 3
	secTable     byte = 4
	secMemory    byte = 5
	secGlobal    byte = 6
	secExport    byte = 7
	secStart     byte = 8
	secElement   byte = 9
	secCode      byte = 10
	secData      byte = 11
	secDataCount byte = 12
	secTag       byte = 13
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start",
	"element", "code", "data", "data count", "tag"}

// rank orders the sections as the format demands; data count sits between element and code.
var sectionRank = [...]int{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6}

// Module is a parsed module. It aliases the bytes given to Parse, which must not change while it is in use, and is
// itself never changed: all methods are safe for concurrent use.
type Module struct {
	wasm   []byte
	limits Limits

	sections []section
	types    []FuncType
	imports  []Import
	funcs    []uint32 // type index per function, imported ones first
	tables   []tableType
	memories []memoryType
	globals  []globalType
	exports  []Export
	start    int // function index, -1 = none
	elems    []elemSegment
	datas    []dataSegment
	dataSeen bool // there is a data count section
	dataWant uint32
	bodies   []body

	importedFuncs, importedTables, importedMemories, importedGlobals uint32

	funcRefs []int    // offsets of every function index outside the code section, ascending
	escaped  []uint32 // functions whose reference can reach a table, possibly repeated
	calls    []uint32 // direct callees, all functions' one after another (see body.calls)
	indirect []uint32 // type indexes of indirect calls, likewise
	uses     uses     // what the code does

	names     functionNames
	producers []Producer
	marks     marks
}

type section struct {
	id   byte
	body span
}

// Parse checks the structure of a module against the binary format and the limits: every section, index, count,
// number and instruction. It does not type-check the operand stack; the engine does that before it compiles, and what
// Rewrite adds is neutral to it. Errors are *Error; a hostile length costs neither time nor memory.
func Parse(wasm []byte, limits Limits) (*Module, error) {
	m := &Module{wasm: wasm, limits: limits.withDefaults(), start: -1}
	if err := m.header(); err != nil {
		return nil, err
	}
	r := reader{buf: wasm, pos: 8}
	last := 0
	for r.left() > 0 {
		at := r.pos
		s := section{id: r.byte()}
		if int(s.id) >= len(sectionNames) {
			return nil, malformed(at, "unknown section %d", s.id)
		}
		where := sectionNames[s.id] + " section"
		body := r.sub(r.u32())
		if r.err != nil {
			return nil, within(where, r.err)
		}
		s.body = span{body.pos, r.pos}
		if s.id != secCustom {
			if sectionRank[s.id] <= last {
				return nil, within(where, malformed(at, "is repeated or out of order"))
			}
			last = sectionRank[s.id]
		}
		if len(m.sections) >= int(m.limits.Sections) {
			return nil, tooMany(at, "sections", uint64(len(m.sections))+1, m.limits.Sections)
		}
		m.sections = append(m.sections, s)
		m.section(s.id, &body)
		body.done("section")
		if body.err != nil {
			return nil, within(where, body.err)
		}
	}
	return m, m.whole()
}

func (m *Module) header() error {
	if len(m.wasm) > int(m.limits.Size) {
		return tooMany(-1, "module bytes", uint64(len(m.wasm)), m.limits.Size)
	}
	if len(m.wasm) < 8 {
		return malformed(-1, "%d bytes are too short for a header", len(m.wasm))
	}
	if !bytes.HasPrefix(m.wasm, []byte("\x00asm")) {
		return malformed(0, `does not start with "\0asm"`)
	}
	version, layer := m.wasm[4:6], m.wasm[6:8]
	if layer[0] == 1 && layer[1] == 0 {
		return unsupported(4, FeatureComponents, "a component")
	}
	if version[0] != 1 || version[1] != 0 || layer[0] != 0 || layer[1] != 0 {
		return malformed(4, "version % x, 01 00 00 00 allowed", m.wasm[4:8])
	}
	return nil
}

func (m *Module) section(id byte, r *reader) {
	switch id {
	case secCustom:
		m.customSection(r)
	case secType:
		m.typeSection(r)
	case secImport:
		m.importSection(r)
	case secFunction:
		m.functionSection(r)
	case secTable:
		m.tableSection(r)
	case secMemory:
		m.memorySection(r)
	case secGlobal:
		m.globalSection(r)
	case secExport:
		m.exportSection(r)
	case secStart:
		m.start = int(m.functionIndex(r))
	case secElement:
		m.elementSection(r)
	case secDataCount:
		m.dataSeen = true
		m.dataWant = r.u32()
		if m.dataWant > m.limits.DataSegments {
			r.stop(tooMany(r.pos, "data segments", uint64(m.dataWant), m.limits.DataSegments))
		}
	case secCode:
		m.codeSection(r)
	case secData:
		m.dataSection(r)
	case secTag:
		r.stop(unsupported(r.pos, FeatureExceptions, "a tag section"))
	}
}

// whole checks what no single section can know.
func (m *Module) whole() error {
	if defined := len(m.funcs) - int(m.importedFuncs); defined != len(m.bodies) {
		return malformed(-1, "%d functions are declared, %d have a body", defined, len(m.bodies))
	}
	if m.dataSeen && int(m.dataWant) != len(m.datas) {
		return malformed(-1, "data count section announces %d segments, there are %d", m.dataWant, len(m.datas))
	}
	return nil
}

// refsWithin returns the offsets of the function indexes inside s, a part of the module outside the code section.
func (m *Module) refsWithin(s span) []int {
	first := sort.SearchInts(m.funcRefs, s.start)
	return m.funcRefs[first:sort.SearchInts(m.funcRefs, s.end)]
}

// signature returns the type of a function by its index.
func (m *Module) signature(f uint32) FuncType { return m.types[m.funcs[f]] }
