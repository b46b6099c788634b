package rewrite

// sectionOrder is the order of the sections in a module.
var sectionOrder = [...]byte{secType, secImport, secFunction, secTable, secMemory, secGlobal, secExport, secStart,
	secElement, secDataCount, secCode, secData}

// assemble builds a module from the content that section returns for each section; nil leaves it out. old is the
// content in m, empty when there is none. The mark section gets the given words.
func (w *rewriter) assemble(words string, section func(id byte, old span) []byte) []byte {
	m := w.m
	var contents [secTag + 1]span
	for _, s := range m.sections {
		contents[s.id] = s.body
	}
	out := make([]byte, 0, len(m.wasm)+len(m.wasm)/8+4096)
	out = append(out, m.wasm[:8]...)
	for _, id := range sectionOrder {
		if content := section(id, contents[id]); content != nil {
			out = appendSection(out, id, content)
		}
	}
	out = appendSection(out, secCustom, append(appendName(nil, markSection), words...))
	return w.appendCustoms(out)
}

// section is the content of a section with what Rewrite adds.
func (w *rewriter) section(id byte, old span) []byte {
	switch id {
	case secCode:
		return w.code
	case secImport:
		return w.importSection(old)
	case secMemory:
		if w.memory != nil {
			return appendVector(nil, 1, w.memory)
		}
	}
	if more := w.additionsTo(id); more.count > 0 {
		return w.extended(old, more)
	}
	if old.len() == 0 {
		return nil
	}
	return w.relinked(old)
}

// importSection keeps all imports but that of a memory: the module gets one of its own.
func (w *rewriter) importSection(old span) []byte {
	var items []byte
	for i := range w.m.imports {
		if im := &w.m.imports[i]; im.Kind == KindMemory {
			w.memory = w.m.wasm[im.desc+1 : im.whole.end]
		} else {
			items = append(items, w.m.wasm[im.whole.start:im.whole.end]...)
		}
	}
	count := len(w.m.imports) + w.imports.count
	if w.memory != nil {
		count--
	}
	return appendVector(nil, count, append(items, w.imports.items...))
}

func (w *rewriter) additionsTo(id byte) additions {
	switch id {
	case secType:
		return w.types
	case secFunction:
		return w.funcs
	case secGlobal:
		return w.globals
	case secExport:
		return w.exports
	}
	return additions{}
}

// extended is a section's content with items added; old is empty when there was no such section.
func (w *rewriter) extended(old span, more additions) []byte {
	r := reader{buf: w.m.wasm[:old.end], pos: old.start}
	count := 0
	if old.len() > 0 {
		count = int(r.u32())
	}
	items := w.relinked(span{r.pos, old.end})
	return appendVector(nil, count+more.count, append(items, more.items...))
}

// relinked copies a part of the module outside the code section with its function indexes moved.
func (w *rewriter) relinked(s span) []byte {
	out := make([]byte, 0, s.len()+s.len()/8)
	at := s.start
	for _, ref := range w.m.refsWithin(s) {
		r := reader{buf: w.m.wasm, pos: ref}
		out = append(out, w.m.wasm[at:ref]...)
		out = appendU32(out, w.moved(r.u32()))
		at = r.pos
	}
	return append(out, w.m.wasm[at:s.end]...)
}

// appendCustoms writes the custom sections that still hold.
func (w *rewriter) appendCustoms(out []byte) []byte {
	for _, s := range w.m.sections {
		if s.id != secCustom {
			continue
		}
		r := reader{buf: w.m.wasm[:s.body.end], pos: s.body.start}
		switch string(r.name("custom section name")) {
		case "producers":
			out = appendSection(out, secCustom, w.m.wasm[s.body.start:s.body.end])
		case "name":
			if names, ok := w.renamed(r); ok {
				out = appendSection(out, secCustom, append(appendName(nil, "name"), names...))
			}
		}
	}
	return out
}

// Parts of the name section that are keyed by function index.
const (
	nameFunctions = 1
	nameLocals    = 2
	nameLabels    = 3
)

// renamed is the content of a name section with the function indexes moved. A section that does not follow its
// format is dropped: nothing but messages depends on it.
func (w *rewriter) renamed(r reader) (out []byte, ok bool) {
	for r.left() > 0 && r.err == nil {
		id := r.byte()
		at := r.pos
		part := r.sub(r.u32())
		if part.err != nil {
			return nil, false
		}
		if id < nameFunctions || id > nameLabels {
			out = append(append(out, id), w.m.wasm[at:r.pos]...)
			continue
		}
		moved, ok := w.renamedPart(part, id)
		if !ok {
			return nil, false
		}
		out = appendSection(out, id, moved)
	}
	return out, r.err == nil
}

func (w *rewriter) renamedPart(r reader, id byte) (out []byte, ok bool) {
	n := r.count("names", 2, 1<<32-1)
	out = appendU32(out, uint32(n))
	for range n {
		out = appendU32(out, w.moved(r.u32()))
		at := r.pos
		if id == nameFunctions {
			r.name("function name")
		} else {
			for range r.count("names", 2, 1<<32-1) {
				r.u32()
				r.name("name")
			}
		}
		if r.err != nil {
			return nil, false
		}
		out = append(out, w.m.wasm[at:r.pos]...)
	}
	r.done("name section")
	return out, r.err == nil
}
