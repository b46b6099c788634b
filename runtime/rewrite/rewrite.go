package rewrite

import "strconv"

// Options says what Rewrite adds besides metering, which is always added.
type Options struct {
	// Entry adds the export hearth_entry, ()->(): it calls the import hearth.hook, ()->(i32), and then, if that was 0,
	// the module's _start. A command is run, resumed and ended through it, so that all happen in one call engine.
	Entry bool
	// State exports what an image has to hold and the module does not export: its mutable globals as hearth_global_N
	// and its memory as hearth_memory.
	State bool
}

// Rewrite returns the module changed so that it can always be stopped: it counts what it does, and calls the import
// hearth.yield, ()->(), when its allowance is spent. Counter says what the runtime has to do then.
//
// Every way back to a loop's start, every function that recurses or does much, and every stretch of long straight code
// charges what has been done since the last such point. Functions that recurse charge the native stack they take, and
// give it back. The bulk instructions memory.fill, copy and init and table.fill, copy and init become calls of added
// functions that do the same in pieces of 64 KiB; table.grow fails beyond Limits.TableSize elements. An imported memory
// becomes one of the module's own: nobody provides another. Nothing else a program can see changes.
//
// Imports of functions are appended to the module's, so the indexes of all other functions move up; the added global,
// types and functions come last. The "name" and "producers" sections are kept, other custom sections are dropped:
// they are debugging data full of offsets that no longer hold.
//
// The module must not carry marks of an earlier Rewrite (ErrRewritten) and, with Entry, must export _start as a
// function without parameters and results (ErrMalformed). A valid module stays valid; an invalid one stays invalid.
func Rewrite(m *Module, o Options) ([]byte, error) {
	if err := m.untouched(); err != nil {
		return nil, err
	}
	w := newRewriter(m)
	w.yield = w.addImport(YieldImport)
	words := wordMetered
	if o.Entry {
		start, err := m.command()
		if err != nil {
			return nil, err
		}
		w.addEntry(start)
		words += " " + wordEntry
	}
	w.addCounter()
	if o.State {
		w.exportState()
	}
	w.code = w.meter()
	return w.assemble(words, w.section), nil
}

// untouched refuses modules that carry or claim what this package adds.
func (m *Module) untouched() error {
	if m.marks.present {
		return &Error{Kind: ErrRewritten, Offset: -1, Reason: `there is a custom section "` + markSection + `"`}
	}
	if m.marks.reserved != "" {
		return &Error{Kind: ErrRewritten, Offset: -1, Reason: m.marks.reserved + " belongs to the runtime"}
	}
	return nil
}

// command returns the index of _start.
func (m *Module) command() (uint32, error) {
	for i := range m.exports {
		if e := &m.exports[i]; string(e.Name) == "_start" && e.Kind == KindFunction {
			if len(e.Type.Params)+len(e.Type.Results) != 0 {
				return 0, malformed(-1, "export _start has type %s, ()->() allowed", e.Type)
			}
			return e.Index, nil
		}
	}
	return 0, malformed(-1, "there is no exported function _start to enter by")
}

// additions collects encoded items for the end of one section.
type additions struct {
	count int
	items []byte
}

func (a *additions) add(item ...byte) {
	a.count++
	a.items = append(a.items, item...)
}

// rewriter builds a changed copy of m.
type rewriter struct {
	m       *Module
	metered metering
	yield   uint32
	counter uint32 // index of the counter's global
	shift   uint32 // how far defined functions move up

	types, imports, funcs, globals, exports, bodies additions

	typeIndex map[string]uint32 // by signature key
	bulk      map[bulkKey]uint32
	code      []byte // the new code section
	memory    []byte // the type of the memory that was an import
}

func newRewriter(m *Module) *rewriter {
	w := &rewriter{m: m, typeIndex: make(map[string]uint32), bulk: make(map[bulkKey]uint32)}
	for i := range m.types {
		if k := m.types[i].key(); w.typeIndex[k] == 0 {
			w.typeIndex[k] = uint32(i) + 1
		}
	}
	w.metered = m.metering()
	return w
}

// typeOf returns the index of a signature, adding it when the module has none like it.
func (w *rewriter) typeOf(t FuncType) uint32 {
	k := t.key()
	i := w.typeIndex[k]
	if i == 0 {
		item := appendU32([]byte{0x60}, uint32(len(t.Params)))
		item = append(item, t.Params...)
		item = appendU32(item, uint32(len(t.Results)))
		w.types.add(append(item, t.Results...)...)
		i = uint32(len(w.m.types) + w.types.count)
		w.typeIndex[k] = i
	}
	return i - 1
}

// addImport appends an imported function hearth.name without parameters.
func (w *rewriter) addImport(name string, results ...byte) uint32 {
	item := appendName(appendName(nil, HostModule), name)
	w.imports.add(appendU32(append(item, byte(KindFunction)), w.typeOf(FuncType{Results: results}))...)
	w.shift++
	return w.m.importedFuncs + w.shift - 1
}

// moved is the new index of a function of the module.
func (w *rewriter) moved(f uint32) uint32 {
	if f < w.m.importedFuncs {
		return f
	}
	return f + w.shift
}

// addFunction appends a function; all imports must have been added. body is without its size.
func (w *rewriter) addFunction(t FuncType, body []byte) uint32 {
	w.funcs.add(appendU32(nil, w.typeOf(t))...)
	w.bodies.add(append(appendU32(nil, uint32(len(body))), body...)...)
	return uint32(len(w.m.funcs)) + w.shift + uint32(w.funcs.count) - 1
}

func (w *rewriter) export(name string, kind ExternKind, index uint32) {
	w.exports.add(appendU32(append(appendName(nil, name), byte(kind)), index)...)
}

// addCounter appends the counter's global. It starts without fuel, so that not even a start function runs before the
// runtime was asked.
func (w *rewriter) addCounter() {
	w.counter = uint32(len(w.m.globals))
	item := appendS64([]byte{byte(I64), 1, byte(opI64Const)}, int64(NewCounter(0, DefaultStack)))
	w.globals.add(append(item, byte(opEnd))...)
	w.export(FuelExport, KindGlobal, w.counter)
}

func (w *rewriter) addEntry(start uint32) {
	hook := w.addImport(HookImport, byte(I32))
	var a assembler
	a.open(opBlock)
	a.op(opCall, hook)
	a.op(opBrIf, 0)
	a.op(opCall, w.moved(start))
	a.op(opEnd)
	w.export(EntryExport, KindFunction, w.addFunction(FuncType{}, a.body(0)))
}

func (w *rewriter) exportState() {
	for i := w.m.importedGlobals; i < uint32(len(w.m.globals)); i++ {
		if w.m.globals[i].mutable {
			w.export(GlobalExport+strconv.FormatUint(uint64(i), 10), KindGlobal, i)
		}
	}
	for i := range w.m.exports {
		if w.m.exports[i].Kind == KindMemory {
			return
		}
	}
	if len(w.m.memories) > 0 {
		w.export(MemoryExport, KindMemory, 0)
	}
}
