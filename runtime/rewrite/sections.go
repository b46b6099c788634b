package rewrite

// ExternKind is what an import or export stands for.
type ExternKind byte

// The kinds of imports and exports.
const (
	KindFunction ExternKind = iota
	KindTable
	KindMemory
	KindGlobal
)

// Import is one import of the module. Module and Name alias the binary.
type Import struct {
	Module, Name []byte
	Kind         ExternKind
	Index        uint32   // in its kind's index space
	Type         FuncType // of a function
	Mutable      bool     // of a global

	whole span // all of the import
	desc  int  // offset of what it is
}

// Export is one export of the module. Name aliases the binary.
type Export struct {
	Name  []byte
	Kind  ExternKind
	Index uint32
	Type  FuncType // of a function
}

func (m *Module) typeSection(r *reader) {
	n := r.count("types", 3, m.limits.Types)
	m.types = make([]FuncType, 0, n)
	for range n {
		at := r.pos
		switch form := r.byte(); {
		case r.err != nil:
			return
		case form == 0x4e || form == 0x4f || form == 0x50 || form == 0x5e || form == 0x5f:
			r.stop(unsupported(at, FeatureGC, "a composite type"))
		case form != 0x60:
			r.stop(malformed(at, "type of unknown form 0x%02x", form))
		}
		m.types = append(m.types, FuncType{Params: m.valueTypes(r, "parameters"), Results: m.valueTypes(r, "results")})
	}
}

func (m *Module) valueTypes(r *reader, what string) []byte {
	n := r.count(what, 1, m.limits.Params)
	at := r.pos
	for range n {
		r.valueType()
	}
	if r.err != nil {
		return nil
	}
	return r.buf[at:r.pos:r.pos]
}

func (m *Module) typeIndex(r *reader) uint32 {
	at := r.pos
	t := r.u32()
	if int(t) >= len(m.types) {
		r.stop(malformed(at, "type %d does not exist, there are %d", t, len(m.types)))
		return 0
	}
	return t
}

func (m *Module) importSection(r *reader) {
	n := r.count("imports", 4, m.limits.Imports)
	m.imports = make([]Import, 0, n)
	for range n {
		start := r.pos
		i := Import{Module: r.name("import module"), Name: r.name("import name")}
		at := r.pos
		kind := r.byte()
		if r.err != nil {
			return
		}
		i.Kind = ExternKind(kind)
		switch i.Kind {
		case KindFunction:
			t := m.typeIndex(r)
			if r.err != nil {
				return
			}
			i.Type, i.Index = m.types[t], uint32(len(m.funcs))
			m.funcs = append(m.funcs, t)
		case KindTable:
			i.Index = uint32(len(m.tables))
			m.tables = append(m.tables, r.tableType(&m.limits))
		case KindMemory:
			i.Index = uint32(len(m.memories))
			m.memories = append(m.memories, r.memoryType(&m.limits))
		case KindGlobal:
			g := r.globalType()
			i.Index, i.Mutable = uint32(len(m.globals)), g.mutable
			m.globals = append(m.globals, g)
		case 4:
			r.stop(unsupported(at, FeatureExceptions, "an imported tag"))
		default:
			r.stop(malformed(at, "import of unknown kind %d", kind))
		}
		i.whole, i.desc = span{start, r.pos}, at
		m.imports = append(m.imports, i)
		m.marks.imported(&i)
	}
	m.importedFuncs, m.importedTables = uint32(len(m.funcs)), uint32(len(m.tables))
	m.importedMemories, m.importedGlobals = uint32(len(m.memories)), uint32(len(m.globals))
	m.oneMemory(r)
}

func (m *Module) oneMemory(r *reader) {
	if len(m.memories) > 1 {
		r.stop(unsupported(r.pos, FeatureMultiMemory, "a second memory"))
	}
	if len(m.tables) > int(m.limits.Tables) {
		r.stop(tooMany(r.pos, "tables", uint64(len(m.tables)), m.limits.Tables))
	}
}

func (m *Module) functionSection(r *reader) {
	at := r.pos
	n := r.count("functions", 1, m.limits.Functions)
	if total := n + len(m.funcs); total > int(m.limits.Functions) {
		r.stop(tooMany(at, "functions", uint64(total), m.limits.Functions))
		return
	}
	funcs := make([]uint32, len(m.funcs), len(m.funcs)+n)
	copy(funcs, m.funcs)
	m.funcs = funcs
	for range n {
		m.funcs = append(m.funcs, m.typeIndex(r))
	}
}

func (m *Module) tableSection(r *reader) {
	for range r.count("tables", 3, m.limits.Tables) {
		m.tables = append(m.tables, r.tableType(&m.limits))
	}
	m.oneMemory(r)
}

func (m *Module) memorySection(r *reader) {
	for range r.count("memories", 2, 100) {
		m.memories = append(m.memories, r.memoryType(&m.limits))
	}
	m.oneMemory(r)
}

func (m *Module) globalSection(r *reader) {
	at := r.pos
	n := r.count("globals", 4, m.limits.Globals)
	if total := n + len(m.globals); total > int(m.limits.Globals) {
		r.stop(tooMany(at, "globals", uint64(total), m.limits.Globals))
		return
	}
	for range n {
		g := r.globalType()
		g.init.start = r.pos
		m.constant(r)
		g.init.end = r.pos
		if r.err != nil {
			return
		}
		m.globals = append(m.globals, g)
	}
}

func (m *Module) exportSection(r *reader) {
	n := r.count("exports", 3, m.limits.Exports)
	m.exports = make([]Export, 0, n)
	seen := make(map[string]struct{}, n)
	for range n {
		at := r.pos
		e := Export{Name: r.name("export name")}
		if _, again := seen[string(e.Name)]; again {
			r.stop(malformed(at, "export %q is repeated", e.Name))
		}
		seen[string(e.Name)] = struct{}{}
		at = r.pos
		e.Kind = ExternKind(r.byte())
		switch e.Kind {
		case KindFunction:
			e.Index = m.functionIndex(r)
		case KindTable:
			e.Index = m.index(r, "table", len(m.tables))
		case KindMemory:
			e.Index = m.index(r, "memory", len(m.memories))
		case KindGlobal:
			e.Index = m.index(r, "global", len(m.globals))
		default:
			r.stop(malformed(at, "export of unknown kind %d", e.Kind))
		}
		if r.err != nil {
			return
		}
		if e.Kind == KindFunction {
			e.Type = m.signature(e.Index)
		}
		m.exports = append(m.exports, e)
		m.marks.exported(&e)
	}
}

// index reads an index below n.
func (m *Module) index(r *reader, what string, n int) uint32 {
	at := r.pos
	i := r.u32()
	if int(i) >= n {
		r.stop(malformed(at, "%s %d does not exist, there are %d", what, i, n))
		return 0
	}
	return i
}

// functionIndex reads a function index outside the code section and remembers where it stands.
func (m *Module) functionIndex(r *reader) uint32 {
	at := r.pos
	f := m.index(r, "function", len(m.funcs))
	if r.err == nil {
		m.funcRefs = append(m.funcRefs, at)
	}
	return f
}
