package rewrite

import (
	"bytes"
	"sort"
	"strings"
)

// The names this package adds to a module, and the custom section that says it did. A guest that brings any of them
// along is refused: they belong to the runtime.
const (
	HostModule   = "hearth"         // module of the added imports
	YieldImport  = "yield"          // called when the counter runs out
	HookImport   = "hook"           // called by the added entry before _start; 1 = do not start
	FuelExport   = "hearth_fuel"    // the counter
	EntryExport  = "hearth_entry"   // the added entry
	MemoryExport = "hearth_memory"  // the memory, when the module does not export it itself
	GlobalExport = "hearth_global_" // followed by the index: a mutable global
	markSection  = "hearth"         // custom section, holds the words below

	wordMetered = "metered"
	wordEntry   = "entry"
	wordPreinit = "preinitialised"
)

// marks are the traces of earlier rewriting.
type marks struct {
	words    []byte // payload of the mark section
	reserved string // a reserved name the module uses
	present  bool
}

func (k *marks) imported(i *Import) {
	if string(i.Module) == HostModule && (string(i.Name) == YieldImport || string(i.Name) == HookImport) {
		k.reserved = "import " + HostModule + "." + string(i.Name)
	}
}

func (k *marks) exported(e *Export) {
	switch name := string(e.Name); {
	case name == EntryExport, name == FuelExport, name == MemoryExport, strings.HasPrefix(name, GlobalExport):
		k.reserved = "export " + name
	}
}

func (k *marks) has(word string) bool {
	for w := range bytes.FieldsSeq(k.words) {
		if string(w) == word {
			return true
		}
	}
	return false
}

// Producer is one entry of the "producers" section, for instance {language Rust 1.80}.
type Producer struct{ Field, Name, Version string }

// functionNames locates the function names of the "name" section; nothing is copied until someone asks.
type functionNames struct {
	buf     []byte
	indexes []uint32 // ascending
	names   []span
}

func (m *Module) customSection(r *reader) {
	name := r.name("custom section name")
	if r.err != nil {
		return
	}
	rest := reader{buf: r.buf, pos: r.pos}
	r.take(uint32(r.left()))
	switch string(name) {
	case markSection:
		m.marks.present, m.marks.words = true, rest.buf[rest.pos:]
	case "name":
		if names, ok := parseNames(rest, len(m.funcs)); ok {
			m.names = names
		}
	case "producers":
		if p, ok := parseProducers(rest); ok {
			m.producers = p
		}
	}
}

// parseNames reads the function names. The section is a debugging aid: when it is broken it is not there.
func parseNames(r reader, functions int) (n functionNames, ok bool) {
	n.buf = r.buf
	for r.left() > 0 && r.err == nil {
		id := r.byte()
		part := r.sub(r.u32())
		if id != 1 || part.err != nil {
			continue
		}
		for range part.count("function names", 2, 1<<32-1) {
			i := part.u32()
			name := part.name("function name")
			if part.err != nil || int(i) >= functions || len(n.indexes) > 0 && i <= n.indexes[len(n.indexes)-1] {
				return functionNames{}, false
			}
			n.indexes = append(n.indexes, i)
			n.names = append(n.names, span{part.pos - len(name), part.pos})
		}
	}
	return n, r.err == nil
}

// parseProducers reads at most a handful of entries of the conventional section.
func parseProducers(r reader) (all []Producer, ok bool) {
	const most = 64
	for range r.count("producer fields", 2, most) {
		field := r.name("producer field")
		for range r.count("producers", 2, most) {
			p := Producer{Field: string(field), Name: string(r.name("producer")), Version: string(r.name("version"))}
			if r.err != nil || len(all) == most {
				return all, false
			}
			all = append(all, p)
		}
	}
	return all, r.err == nil
}

// FunctionName returns the name the "name" section gives a function, or "".
func (m *Module) FunctionName(f uint32) string {
	i := sort.Search(len(m.names.indexes), func(i int) bool { return m.names.indexes[i] >= f })
	if i == len(m.names.indexes) || m.names.indexes[i] != f {
		return ""
	}
	s := m.names.names[i]
	return string(m.names.buf[s.start:s.end])
}
