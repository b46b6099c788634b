package rewrite

import "encoding/binary"

// Image is the state of an instance that a pre-initialised module starts with, memory contents apart.
type Image struct {
	Pages   uint32   // size of the memory in 64-KiB pages
	Globals []Global // one for each of Facts.MutableGlobals, in that order
}

// Global is the value of a global: Lo holds it, Hi the upper half of a v128.
type Global struct{ Lo, Hi uint64 }

// Preinitialise returns a module whose fresh instances are in the state of image, provided that whoever allocates
// their memory puts its contents there. m is a parsed result of Rewrite (under limits with room for what that added). Its start section goes, its memory begins
// with image.Pages, its mutable globals with the captured values (the counter without fuel, as ever), and its data
// segments become empty, or go altogether when no code names one: applying them is most of the time and space a fresh
// instance of a large program takes.
//
// A module that Rewrite did not make or that is pre-initialised already is ErrRewritten. One whose state is more than
// its own memory and its globals (see Facts.PlainState) is ErrUnsupported. An image of another module is ErrMalformed.
func Preinitialise(m *Module, image Image) ([]byte, error) {
	f := m.Facts()
	switch {
	case !f.Metered || f.Preinitialised:
		return nil, &Error{Kind: ErrRewritten, Offset: -1, Reason: "only a metered module can be pre-initialised, and once"}
	case !f.PlainState():
		return nil, &Error{Kind: ErrUnsupported, Offset: -1, Reason: "the module changes tables, reference globals or segments"}
	case len(image.Globals) != len(f.MutableGlobals):
		return nil, malformed(-1, "image of %d mutable globals, the module has %d", len(image.Globals), len(f.MutableGlobals))
	case image.Pages > f.MemoryMax && f.Memory, image.Pages > 0 && !f.Memory:
		return nil, malformed(-1, "image of %d pages, at most %d allowed", image.Pages, f.MemoryMax)
	}
	w := &rewriter{m: m}
	named := f.MemoryInit || f.DataDrop
	section := func(id byte, old span) []byte {
		switch {
		case old.len() == 0, id == secStart, id == secDataCount && !named, id == secData && !named:
			return nil
		case id == secMemory:
			return m.imageMemory(image.Pages)
		case id == secGlobal:
			return m.imageGlobals(image.Globals)
		case id == secData:
			return m.emptyData()
		}
		return m.wasm[old.start:old.end]
	}
	return w.assemble(string(m.marks.words)+" "+wordPreinit, section), nil
}

func (m *Module) imageMemory(pages uint32) []byte {
	t := m.memories[0]
	if !t.hasMax {
		return appendU32([]byte{1, 0}, pages)
	}
	return appendU32(appendU32([]byte{1, 1}, pages), t.max)
}

func (m *Module) imageGlobals(values []Global) []byte {
	own := m.globals[m.importedGlobals:]
	counter := m.counterGlobal()
	out := appendU32(nil, uint32(len(own)))
	for i, g := range own {
		if !g.mutable {
			out = append(append(out, byte(g.typ), 0), m.wasm[g.init.start:g.init.end]...)
			continue
		}
		v := values[0]
		values = values[1:]
		if m.importedGlobals+uint32(i) == counter {
			v = Global{Lo: uint64(NewCounter(0, DefaultStack))}
		}
		out = append(appendConst(append(out, byte(g.typ), 1), g.typ, v), byte(opEnd))
	}
	return out
}

// counterGlobal finds the counter of a metered module.
func (m *Module) counterGlobal() uint32 {
	for i := range m.exports {
		if e := &m.exports[i]; e.Kind == KindGlobal && string(e.Name) == FuelExport {
			return e.Index
		}
	}
	return uint32(len(m.globals))
}

// appendConst writes the instruction that pushes a number.
func appendConst(out []byte, t ValueType, v Global) []byte {
	switch t {
	case I32:
		return appendS64(append(out, byte(opI32Const)), int64(int32(v.Lo)))
	case I64:
		return appendS64(append(out, byte(opI64Const)), int64(v.Lo))
	case F32:
		return binary.LittleEndian.AppendUint32(append(out, byte(opF32Const)), uint32(v.Lo))
	case F64:
		return binary.LittleEndian.AppendUint64(append(out, byte(opF64Const)), v.Lo)
	}
	out = append(out, byte(opV128Const>>8), byte(opV128Const&0xff))
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(out, v.Lo), v.Hi)
}

// emptyData keeps the number of segments. Active ones are as if dropped once an instance exists, and a dropped segment
// is like an empty one; passive ones stay.
func (m *Module) emptyData() []byte {
	out := appendU32(nil, uint32(len(m.datas)))
	for _, d := range m.datas {
		out = append(out, 1)
		if d.mode == modePassive {
			out = appendU32(out, uint32(d.bytes.len()))
			out = append(out, m.wasm[d.bytes.start:d.bytes.end]...)
		} else {
			out = append(out, 0)
		}
	}
	return out
}
