package rewrite

import "strings"

// Facts is what a runtime wants to know about a module before it decides how to run it. It states what the binary
// says and decides nothing.
type Facts struct {
	Imports []Import // in order; names alias the binary
	Exports []Export // in order; names alias the binary

	Functions int // imported ones included
	HasStart  bool

	Memory           bool   // there is a memory, defined or imported
	MemoryImported   bool   // ... and it is imported
	MemoryExport     string // the first name it is exported under, empty = not exported
	MemoryMin        uint32 // pages
	MemoryMax        uint32 // pages, 65536 when the module sets no maximum
	Tables           int
	MutableGlobals   []uint32 // indexes of defined mutable globals, imported ones counted
	MutableRefs      bool     // one of them holds references
	ImportedMutables bool     // imports a mutable global
	DataSegments     int

	// What the code does at least once. Where a field is false the matching state cannot differ between an image and
	// an instance made from it.
	MemoryGrow, MemoryInit, MemoryCopy, MemoryFill, DataDrop bool
	TableSet, TableGrow, TableFill, TableCopy, TableInit     bool
	ElemDrop, TailCalls                                      bool

	Language  Language
	Producers []Producer

	Metered, Entry, Preinitialised bool // what this package has done to the module already
}

// TablesChange tells whether code can change a table after instantiation.
func (f *Facts) TablesChange() bool {
	return f.TableSet || f.TableGrow || f.TableFill || f.TableCopy || f.TableInit
}

// PlainState tells whether memory and mutable globals are all that can differ between two instances of the module. A
// dropped segment matters only to code that copies from segments.
func (f *Facts) PlainState() bool {
	return !f.TablesChange() && !(f.DataDrop && f.MemoryInit) && !(f.ElemDrop && f.TableInit) &&
		!f.MutableRefs && !f.ImportedMutables
}

// Imported tells whether the module imports the function name from module.
func (f *Facts) Imported(module, name string) bool {
	for i := range f.Imports {
		if im := &f.Imports[i]; im.Kind == KindFunction && string(im.Module) == module && string(im.Name) == name {
			return true
		}
	}
	return false
}

// ImportsFrom tells whether the module imports anything from module.
func (f *Facts) ImportsFrom(module string) bool {
	for i := range f.Imports {
		if string(f.Imports[i].Module) == module {
			return true
		}
	}
	return false
}

// Exported returns the signature of the exported function name, for instance "(i32 i32)->(i64)", or "".
func (f *Facts) Exported(name string) string {
	for i := range f.Exports {
		if e := &f.Exports[i]; e.Kind == KindFunction && string(e.Name) == name {
			return e.Type.String()
		}
	}
	return ""
}

// Language is the toolchain a module was most likely built with.
type Language string

// The toolchains that leave recognisable traces.
const (
	LanguageUnknown        Language = ""
	LanguageGo             Language = "Go"
	LanguageTinyGo         Language = "TinyGo"
	LanguageRust           Language = "Rust"
	LanguageC              Language = "C"
	LanguageZig            Language = "Zig"
	LanguageAssemblyScript Language = "AssemblyScript"
)

// Facts collects what the module says about itself.
func (m *Module) Facts() Facts {
	u := &m.uses
	f := Facts{
		Imports: m.imports, Exports: m.exports, Functions: len(m.funcs), HasStart: m.start >= 0,
		Memory: len(m.memories) > 0, MemoryImported: m.importedMemories > 0,
		Tables: len(m.tables), DataSegments: len(m.datas),
		MemoryGrow: u.memoryGrow, MemoryInit: u.memoryInit, MemoryCopy: u.memoryCopy, MemoryFill: u.memoryFill,
		DataDrop: u.dataDrop, TableSet: u.tableSet, TableGrow: u.tableGrow, TableFill: u.tableFill,
		TableCopy: u.tableCopy, TableInit: u.tableInit, ElemDrop: u.elemDrop, TailCalls: u.tailCalls,
		Producers: m.producers, Language: m.language(),
		Metered: m.marks.has(wordMetered), Entry: m.marks.has(wordEntry), Preinitialised: m.marks.has(wordPreinit),
	}
	if f.Memory {
		f.MemoryMin, f.MemoryMax = m.memories[0].min, 65_536
		if m.memories[0].hasMax {
			f.MemoryMax = m.memories[0].max
		}
	}
	for i, g := range m.globals {
		switch {
		case !g.mutable:
		case i < int(m.importedGlobals):
			f.ImportedMutables = true
		default:
			f.MutableGlobals = append(f.MutableGlobals, uint32(i))
			f.MutableRefs = f.MutableRefs || g.typ == FuncRef || g.typ == ExternRef
		}
	}
	for i := range m.exports {
		if m.exports[i].Kind == KindMemory {
			f.MemoryExport = string(m.exports[i].Name)
			break
		}
	}
	return f
}

// language prefers what the producers section says; toolchains without one are known by their imports and exports.
func (m *Module) language() Language {
	found := LanguageUnknown
	for _, p := range m.producers {
		switch {
		case p.Name == "TinyGo":
			return LanguageTinyGo
		case p.Field == "language" && p.Name == "Go":
			return LanguageGo
		case p.Field == "language" && p.Name == "Rust":
			return LanguageRust
		case p.Field == "processed-by" && p.Name == "clang", p.Field == "language" && strings.HasPrefix(p.Name, "C"):
			found = LanguageC
		case p.Name == "zig":
			found = LanguageZig
		}
	}
	if found != LanguageUnknown {
		return found
	}
	for i := range m.imports {
		if string(m.imports[i].Module) == "gojs" || string(m.imports[i].Module) == "go" {
			return LanguageGo
		}
		if string(m.imports[i].Module) == "env" && string(m.imports[i].Name) == "abort" && len(m.imports[i].Type.Params) == 4 {
			return LanguageAssemblyScript
		}
	}
	return LanguageUnknown
}
