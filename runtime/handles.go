package runtime

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// wasmPage is the unit linear memory grows by, in bytes.
const wasmPage = 65536

// Reference types of globals as the binary format encodes them.
const (
	valueFuncref   = 0x70
	valueExternref = 0x6f
)

// engineState is what wazero's compiler engine offers for one instance. Its type is internal, its methods are not.
type engineState interface {
	GetGlobalValue(index uint32) (lo, hi uint64)
	SetGlobalValue(index uint32, lo, hi uint64)
	MemoryGrown()
	FunctionInstanceReference(index uint32) uintptr
}

// handles reach the state of an instance that its guest can change, which wazero's public interface only shows in
// part. They hold for the version pinned in go.mod; the tests of images fail if another one keeps state elsewhere.
type handles struct {
	engine  engineState
	buffer  *[]byte // nil without a memory
	tables  []*[]uintptr
	data    [][]byte    // shared with the instance: setting an element is seen by the guest
	elems   [][]uintptr // likewise
	globals []globalHandle
	imports int           // functions imported; their indexes come first
	known   reflect.Value // []*functionInstance: every function a reference was made of
}

// globalHandle is one mutable global defined by the module.
type globalHandle struct {
	index     uint32
	reference bool // holds a reference to a function, different in every instance
}

// handlesOf finds the state of mod. It fails on what it cannot restore, and when this wazero is not the one it knows.
func handlesOf(mod api.Module) (h handles, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("this version of wazero keeps an instance's state elsewhere: %v", r)
		}
	}()
	v := reflect.ValueOf(mod).Elem()
	h.engine = v.FieldByName("Engine").Interface().(engineState)
	h.known = v.FieldByName("Engine").Elem().Elem().FieldByName("localFunctionInstances")
	if m := v.FieldByName("MemoryInstance"); !m.IsNil() {
		h.buffer = m.Elem().FieldByName("Buffer").Addr().Interface().(*[]byte)
	}
	for _, t := range v.FieldByName("Tables").Seq2() {
		h.tables = append(h.tables, t.Elem().FieldByName("References").Addr().Interface().(*[]uintptr))
	}
	h.data = v.FieldByName("DataInstances").Interface().([][]byte)
	h.elems = v.FieldByName("ElementInstances").Interface().([][]uintptr)
	source := v.FieldByName("Source").Elem()
	h.imports = int(source.FieldByName("ImportFunctionCount").Uint())
	imported := int(source.FieldByName("ImportGlobalCount").Uint())
	if source.FieldByName("ImportMemoryCount").Uint() > 0 {
		return h, errors.New("the memory is imported: it belongs to another module")
	}
	globals := v.FieldByName("Globals")
	for i := range globals.Len() {
		t := globals.Index(i).Elem().FieldByName("Type")
		if !t.FieldByName("Mutable").Bool() {
			continue
		}
		if i < imported {
			return h, fmt.Errorf("global %d is mutable and imported: its value belongs to another module", i)
		}
		g := globalHandle{index: uint32(i)}
		switch byte(t.FieldByName("ValType").Uint()) {
		case valueFuncref:
			g.reference = true
		case valueExternref:
			return h, fmt.Errorf("global %d holds references to host objects, which an image cannot keep", i)
		}
		h.globals = append(h.globals, g)
	}
	return h, nil
}

// withoutData gives the same compiled module for instances that get an image at once: they begin with a memory of zeros. Copying the data
// segments of a Go program into an instance takes twenty times as long as all the rest. The code must not use segments later.
func withoutData(guest wazero.CompiledModule) (bare wazero.CompiledModule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("this version of wazero keeps a compiled module elsewhere: %v", r)
		}
	}()
	compiled := reflect.New(reflect.TypeOf(guest).Elem())
	compiled.Elem().Set(reflect.ValueOf(guest).Elem())
	field := compiled.Elem().FieldByName("module")
	module := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem() // the same, but it can be set
	bared := reflect.New(field.Type().Elem())
	bared.Elem().Set(module.Elem())
	bared.Elem().FieldByName("DataSection").SetZero()
	module.Set(bared)
	return compiled.Interface().(wazero.CompiledModule), nil
}

// noFunction is the portable form of a null reference.
const noFunction = -1

// functionIndexes gives the function behind every reference this instance has made, and behind its imports.
func (h *handles) functionIndexes() map[uintptr]int32 {
	m := map[uintptr]int32{0: noFunction}
	for i := range h.imports {
		m[h.engine.FunctionInstanceReference(uint32(i))] = int32(i)
	}
	for _, f := range h.known.Seq2() {
		m[f.Pointer()] = int32(f.Elem().FieldByName("indexInModule").Uint())
	}
	return m
}

// referenceMaker gives references of this instance for portable function indexes, making each only once.
func (h *handles) referenceMaker() func(index int32) uintptr {
	made := map[int32]uintptr{noFunction: 0}
	for _, f := range h.known.Seq2() {
		made[int32(f.Elem().FieldByName("indexInModule").Uint())] = f.Pointer()
	}
	return func(index int32) uintptr {
		ref, ok := made[index]
		if !ok {
			ref = h.engine.FunctionInstanceReference(uint32(index))
			made[index] = ref
		}
		return ref
	}
}
