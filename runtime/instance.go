package runtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// instance is one instance of a module that goes back to its image after every call. It is used by one goroutine at
// a time, and restored only while none of its code runs.
type instance struct {
	mod   api.Module
	mem   *memory
	img   *image
	state handles

	globals []globalValue // as in the image, with this instance's references

	tables [][]uintptr // as in the image, with this instance's references; nil unless the code changes tables
	own    [][]uintptr // the tables' storage before any growth
	data   [][]byte    // segments as in the image; nil unless the code drops some
	elems  [][]uintptr
	left   residue

	references int // to functions that the engine made for the instance itself
}

// instantiateIn makes an instance over a memory that starts with initial and has at most limit bytes. The caller closes it, or gives it an
// image. ErrUnavailable when the budget has no room for it.
func instantiateIn(ctx context.Context, limit, initial int64, b *budget, make func(context.Context) (api.Module, error)) (*instance, error) {
	mem, err := newMemory(limit, b)
	if err != nil {
		return nil, err
	}
	if !mem.charge(initial) {
		mem.Free()
		return nil, errMemoryBudget
	}
	mod, err := make(experimental.WithMemoryAllocator(ctx, mem))
	if err != nil {
		mem.Free() // a failed start function leaves the memory with nobody
		return nil, err
	}
	in := &instance{mod: mod, mem: mem}
	if in.state, err = handlesOf(mod); err != nil {
		in.close(ctx)
		return nil, err
	}
	in.references = in.state.known.Len()
	return in, nil
}

// close frees the instance, and its memory with it.
func (in *instance) close(ctx context.Context) {
	// What Close reports is a failure to close files; instances have none of the engine's.
	_ = in.mod.Close(ctx)
	in.mem.Free()
}

// adopt makes img the state the instance is in and returns to. img was captured from an instance of the same code.
func (in *instance) adopt(img *image) error {
	s := &in.state
	if len(img.globals) != len(s.globals) {
		return fmt.Errorf("the image has %d mutable globals, the module %d", len(img.globals), len(s.globals))
	}
	if len(img.tables) != len(s.tables) && img.traits.tables {
		return fmt.Errorf("the image has %d tables, the module %d", len(img.tables), len(s.tables))
	}
	in.img = img
	in.adoptReferences(img)
	if img.traits.segments {
		if len(img.data) != len(s.data) || len(img.elems) != len(s.elems) {
			return fmt.Errorf("the image has %d+%d segments, the module %d+%d", len(img.data), len(img.elems), len(s.data), len(s.elems))
		}
		in.data, in.elems = undropped(s.data, img.data), undropped(s.elems, img.elems)
	}
	if s.buffer != nil {
		if err := in.mem.drop(0, in.mem.touched); err != nil {
			return err
		}
		if err := in.mem.overlay(img.file, len(img.view)); err != nil {
			return err
		}
		if err := in.resize(len(img.view)); err != nil {
			return err
		}
	}
	in.restoreValues()
	return nil
}

// adoptReferences gives this instance's meaning to the references in the image.
func (in *instance) adoptReferences(img *image) {
	s := &in.state
	in.globals, in.tables, in.own = img.globals, nil, nil
	if !img.traits.tables && !slices.ContainsFunc(s.globals, func(g globalHandle) bool { return g.reference }) {
		return
	}
	in.globals = slices.Clone(img.globals)
	reference := s.referenceMaker()
	for i, g := range s.globals {
		if g.reference {
			in.globals[i] = globalValue{lo: uint64(reference(int32(uint32(img.globals[i].lo))))}
		}
	}
	for i, t := range img.tables {
		refs := make([]uintptr, len(t))
		for j, index := range t {
			refs[j] = reference(index)
		}
		in.tables, in.own = append(in.tables, refs), append(in.own, slices.Clone(refs))
		*s.tables[i] = in.own[i]
	}
}

func undropped[T any](segments [][]T, dropped []bool) [][]T {
	kept := slices.Clone(segments)
	for i := range kept {
		if dropped[i] {
			kept[i] = nil
		}
	}
	return kept
}

// resize gives the guest exactly n bytes of memory.
func (in *instance) resize(n int) error {
	b := in.mem.Reallocate(uint64(n))
	if b == nil {
		return fmt.Errorf("no room for an image of %d bytes in a memory of at most %d", n, len(in.mem.reserved))
	}
	*in.state.buffer = b
	in.state.engine.MemoryGrown()
	return nil
}

// restore puts everything a call may have changed back to the image, whether the call returned or trapped. After an
// error the instance is in no known state and must be closed.
func (in *instance) restore(r *restorer) error {
	if in.state.buffer != nil {
		size := len(*in.state.buffer)
		if err := r.memory(in.mem, in.img.view, size, &in.left); err != nil {
			return err
		}
		if size != len(in.img.view) {
			if err := in.resize(len(in.img.view)); err != nil {
				return err
			}
		}
	}
	in.restoreValues()
	return nil
}

// maxReferences bounds the references to functions that a guest may make. The engine keeps each, some 40 bytes, as long as the instance,
// even the hundred millionth to the same function.
const maxReferences = 1 << 18

// hoards tells whether the guest has made more references than it may; such an instance is not used again.
func (in *instance) hoards() bool { return in.state.known.Len() > in.references+maxReferences }

// restoreValues puts back what is not memory.
func (in *instance) restoreValues() {
	s := &in.state
	for i, g := range s.globals {
		s.engine.SetGlobalValue(g.index, in.globals[i].lo, in.globals[i].hi)
	}
	for i, refs := range in.tables {
		copy(in.own[i], refs)
		*s.tables[i] = in.own[i]
	}
	copy(s.data, in.data)
	copy(s.elems, in.elems)
}
