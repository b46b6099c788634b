package rewrite

// Limits bounds what Parse accepts, so that a module can be refused before anything expensive is done with it. Every
// field is a maximum; the zero value of a field means the default beside it in DefaultLimits. Counts of functions,
// globals, tables and memories include imported ones.
//
// They bound memory and time of this package. They do not bound the engine's compile time by themselves: that grows
// faster than linearly in the size of one function, so compile in a process that can be killed.
type Limits struct {
	Size          uint32 // bytes of the module
	Types         uint32 // function types
	Imports       uint32 // imports of any kind
	Exports       uint32 // exports of any kind
	Functions     uint32 // functions
	Globals       uint32 // globals
	Tables        uint32 // tables
	TableSize     uint32 // elements a table starts with
	MemoryPages   uint32 // 64-KiB pages a memory starts with
	DataSegments  uint32 // data segments
	ElemSegments  uint32 // element segments
	Elements      uint32 // elements of all segments together
	BodyLength    uint32 // bytes of one function's body
	Nesting       uint32 // blocks, loops and ifs inside one another
	BranchTargets uint32 // targets of one br_table
	Locals        uint32 // locals of one function, without its parameters
	FrameWork     uint32 // (locals + parameters) x control structures of one function: what an SSA builder multiplies
	Params        uint32 // parameters of a function type, and results likewise
	Sections      uint32 // sections, custom ones included

	// TailCalls accepts return_call and return_call_indirect (the engine needs the feature switched on as well).
	TailCalls bool
}

// DefaultLimits admits what mainstream compilers emit for large programs.
func DefaultLimits() Limits {
	return Limits{
		Size:          64 << 20,
		Types:         20_000,
		Imports:       5_000,
		Exports:       50_000,
		Functions:     200_000,
		Globals:       50_000,
		Tables:        16,
		TableSize:     1 << 20,
		MemoryPages:   65_536,
		DataSegments:  100_000,
		ElemSegments:  100_000,
		Elements:      4 << 20,
		BodyLength:    4 << 20,
		Nesting:       20_000,
		BranchTargets: 65_536,
		Locals:        20_000,
		FrameWork:     50_000_000,
		Params:        1_000,
		Sections:      1_000,
	}
}

// withDefaults fills the fields left at zero.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ v, def *uint32 }{
		{&l.Size, &d.Size}, {&l.Types, &d.Types}, {&l.Imports, &d.Imports}, {&l.Exports, &d.Exports},
		{&l.Functions, &d.Functions}, {&l.Globals, &d.Globals}, {&l.Tables, &d.Tables},
		{&l.TableSize, &d.TableSize}, {&l.MemoryPages, &d.MemoryPages}, {&l.DataSegments, &d.DataSegments},
		{&l.ElemSegments, &d.ElemSegments}, {&l.Elements, &d.Elements}, {&l.BodyLength, &d.BodyLength},
		{&l.Nesting, &d.Nesting}, {&l.BranchTargets, &d.BranchTargets}, {&l.Locals, &d.Locals},
		{&l.FrameWork, &d.FrameWork}, {&l.Params, &d.Params}, {&l.Sections, &d.Sections},
	} {
		if *f.v == 0 {
			*f.v = *f.def
		}
	}
	return l
}
