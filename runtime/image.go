package runtime

import (
	"bytes"
	"fmt"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/unix"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// imageChunk is the unit in which an image's file is sparse.
const imageChunk = 4096

// traits say which state besides memory and globals the code of a module can change. What it cannot change is
// neither captured nor restored.
type traits struct {
	tables   bool
	segments bool
}

func traitsOf(f *rewrite.Facts) traits {
	return traits{tables: f.TablesChange(), segments: f.DataDrop || f.ElemDrop}
}

// image is the state from which every call of one function version starts. It is never changed, and never shared
// between functions, versions or tenants: what a warm-up request or a secret left in memory is in it. Safe for
// concurrent use until close.
type image struct {
	traits  traits
	file    int    // memfd, sparse and sealed; -1 without memory
	view    []byte // the same, mapped read-only
	private int64  // bytes of it that are not zero, in whole chunks
	globals []globalValue
	tables  [][]int32 // function indexes, noFunction for null; nil unless traits.tables
	data    []bool    // segments dropped; nil unless traits.segments
	elems   []bool
}

// globalValue is the value of a mutable global. For a reference lo is the function's index, as an int32.
type globalValue struct{ lo, hi uint64 }

// captureImage makes an image of an instance in which no guest code is running.
func captureImage(mod api.Module, t traits) (*image, error) {
	h, err := handlesOf(mod)
	if err != nil {
		return nil, backends.Errorf(backends.ErrUnsupported, "capture an image: %v", err)
	}
	img := &image{traits: t, file: -1}
	if err := img.captureReferences(&h); err != nil {
		return nil, backends.Errorf(backends.ErrUnsupported, "capture an image: %v", err)
	}
	if t.segments {
		img.data, img.elems = droppedSegments(h.data), droppedSegments(h.elems)
	}
	if h.buffer == nil || len(*h.buffer) == 0 {
		return img, nil
	}
	if err := img.captureMemory(*h.buffer); err != nil {
		img.close()
		return nil, backends.Errorf(backends.ErrUnavailable, "capture an image of %d bytes: %v", len(*h.buffer), err)
	}
	return img, nil
}

// captureReferences keeps globals and tables, references in a form that has a meaning in other instances.
func (img *image) captureReferences(h *handles) error {
	var indexes map[uintptr]int32 // made when first needed: most modules have no reference that changes
	portable := func(ref uintptr) (int32, error) {
		if ref == 0 {
			return noFunction, nil
		}
		if indexes == nil {
			indexes = h.functionIndexes()
		}
		index, ok := indexes[ref]
		if !ok {
			return 0, fmt.Errorf("a reference to something that is no function of the module")
		}
		return index, nil
	}
	for _, g := range h.globals {
		lo, hi := h.engine.GetGlobalValue(g.index)
		if g.reference {
			index, err := portable(uintptr(lo))
			if err != nil {
				return fmt.Errorf("global %d: %w", g.index, err)
			}
			lo, hi = uint64(uint32(index)), 0
		}
		img.globals = append(img.globals, globalValue{lo, hi})
	}
	if !img.traits.tables {
		return nil
	}
	for i, t := range h.tables {
		table := make([]int32, len(*t))
		for j, ref := range *t {
			var err error
			if table[j], err = portable(ref); err != nil {
				return fmt.Errorf("table %d, element %d: %w", i, j, err)
			}
		}
		img.tables = append(img.tables, table)
	}
	return nil
}

// captureMemory writes what is not zero into a sealed file without a name and maps it for reading.
func (img *image) captureMemory(mem []byte) error {
	file, err := unix.MemfdCreate("hearth-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	img.file = file
	if err := unix.Ftruncate(file, int64(len(mem))); err != nil {
		return fmt.Errorf("ftruncate: %w", err)
	}
	var zero [imageChunk]byte
	for at := 0; at < len(mem); {
		end := at
		for end < len(mem) && !bytes.Equal(mem[end:end+imageChunk], zero[:]) {
			end += imageChunk
		}
		if at == end {
			at += imageChunk
			continue
		}
		img.private += int64(end - at)
		for at < end {
			n, err := unix.Pwrite(file, mem[at:end], int64(at))
			if err != nil {
				return fmt.Errorf("pwrite: %w", err)
			}
			at += n
		}
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(file), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	p, err := unix.MmapPtr(file, 0, nil, uintptr(len(mem)), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	img.view = unsafe.Slice((*byte)(p), len(mem))
	return nil
}

// close gives the image back. All instances made from it must be closed.
func (img *image) close() {
	if img.view != nil {
		_ = unix.MunmapPtr(unsafe.Pointer(&img.view[0]), uintptr(len(img.view)))
		img.view = nil
	}
	if img.file >= 0 {
		_ = unix.Close(img.file)
		img.file = -1
	}
}

func droppedSegments[T any](segments [][]T) []bool {
	dropped := make([]bool, len(segments))
	for i, s := range segments {
		dropped[i] = len(s) == 0
	}
	return dropped
}
