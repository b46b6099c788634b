package runtime

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"hearth/backends"
)

// budget bounds the bytes of linear memory that all instances together may have. An instance in use is charged for
// all of its memory, since its guest may touch every byte of it; an idle one for what stayed resident.
type budget struct {
	of    *budget // what this is a part of; nil = whole
	limit int64   // 0 = no bound
	used  atomic.Int64
}

// take charges n bytes, or nothing and returns false when that would pass the limit.
func (b *budget) take(n int64) bool {
	if used := b.used.Add(n); b.limit > 0 && used > b.limit {
		b.used.Add(-n)
		return false
	}
	if b.of != nil && !b.of.take(n) {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) {
	b.used.Add(-n)
	if b.of != nil {
		b.of.give(n)
	}
}

// memory is the linear memory of one instance. Its whole address range is reserved when it is made, so growing never
// moves it, and pages cost nothing until touched. It is the allocator given to the engine for exactly one
// instantiation. Not safe for concurrent use.
type memory struct {
	budget   *budget
	reserved []byte
	size     int   // bytes the guest has
	touched  int   // bytes from the start that may hold pages of our own
	charged  int64 // to the budget
}

// newMemory reserves room for limit bytes. ErrUnavailable when the address space or a mapping is not to be had.
func newMemory(limit int64, b *budget) (*memory, error) {
	if limit <= 0 || limit > 1<<32 || limit%wasmPage != 0 {
		return nil, fmt.Errorf("linear memory of %d bytes: a multiple of %d up to 4 GiB is allowed", limit, wasmPage)
	}
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(limit), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, backends.Errorf(backends.ErrUnavailable, "reserve %d bytes of address space: %v", limit, err)
	}
	m := &memory{budget: b, reserved: unsafe.Slice((*byte)(p), limit)}
	// Huge pages would make one touched byte cost 2 MiB. A kernel without them refuses the advice, which is as good.
	_ = unix.Madvise(m.reserved, unix.MADV_NOHUGEPAGE)
	return m, nil
}

// Allocate implements [experimental.MemoryAllocator]: the memory of the instance being made is this one.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements [experimental.LinearMemory]. It returns nil, which the guest sees as a failed memory.grow,
// above the function's limit or the budget.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) || !m.charge(int64(size)) {
		return nil
	}
	m.size = int(size)
	m.touched = max(m.touched, m.size)
	return m.reserved[:size]
}

// charge makes the budget hold at least n bytes for this memory.
func (m *memory) charge(n int64) bool {
	if more := n - m.charged; more > 0 {
		if !m.budget.take(more) {
			return false
		}
		m.charged = n
	}
	return true
}

// release gives back all but n of the bytes charged.
func (m *memory) release(n int64) {
	if less := m.charged - n; less > 0 {
		m.budget.give(less)
		m.charged = n
	}
}

// overlay maps the first size bytes of an image's file over the start of the memory, private to it.
func (m *memory) overlay(file, size int) error {
	if size == 0 {
		return nil
	}
	_, err := unix.MmapPtr(file, 0, unsafe.Pointer(&m.reserved[0]), uintptr(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return backends.Errorf(backends.ErrUnavailable, "map an image of %d bytes: %v", size, err)
	}
	return nil
}

// drop gives the pages of [from, to) back to the system: they read as the image's, or as zeros where there is none.
func (m *memory) drop(from, to int) error {
	if from >= to {
		return nil
	}
	if err := unix.Madvise(m.reserved[from:to], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("drop pages %#x-%#x: %w", from, to, err)
	}
	return nil
}

// Free implements [experimental.LinearMemory]. It may be called twice: the engine frees what it closes, and whoever
// made the memory frees it when the instantiation failed. Slices of the memory must not be touched afterwards.
func (m *memory) Free() {
	if m.reserved == nil {
		return
	}
	// Fails only for a range that was never mapped.
	_ = unix.MunmapPtr(unsafe.Pointer(&m.reserved[0]), uintptr(len(m.reserved)))
	m.release(0)
	m.reserved, m.size, m.touched = nil, 0, 0
}
