package runtime

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restorePath is a way of putting an instance's memory back to its image. All leave the same bytes behind.
type restorePath int

const (
	restoreAuto    restorePath = iota // the first of the others that works here
	restoreScan                       // ask the kernel which pages were written (Linux 6.7 and later), copy these
	restoreWalk                       // look through the kernel's list of all pages for them, where that is short
	restoreMadvise                    // drop all pages of our own; the next call faults in what it touches
	restoreCopy                       // copy the whole image
)

func (p restorePath) String() string {
	return [...]string{"auto", "pagemap-scan", "pagemap", "madvise", "copy"}[p]
}

const (
	// residentCap bounds the bytes of written pages an instance keeps between calls. Keeping saves the next call a
	// page fault, and costs memory and a copy after every call.
	residentCap = 2 << 20
	// copyBelow is the size of a memory up to which copying all of it beats dropping pages.
	copyBelow = 256 << 10
	// walkBelow is the size of a memory up to which looking at every page of it beats dropping pages.
	walkBelow = 4 << 20
	// trimAbove is the number of bytes kept from which it pays to look whether they are still being written.
	trimAbove               = 128 << 10
	trimSoonest, trimRarest = 64, 8192 // calls
)

// restorer puts instances back to their images after calls. Safe for concurrent use.
type restorer struct {
	path    restorePath
	forced  bool
	pagemap *os.File // for restoreScan and restoreWalk
	fd      uintptr  // of it
	scans   sync.Pool
}

// newRestorer proves on a piece of memory which path works here and takes the first in order of speed, or proves the
// one that is forced.
func newRestorer(force restorePath) (*restorer, error) {
	paths := []restorePath{restoreScan, restoreWalk, restoreMadvise, restoreCopy}
	if force != restoreAuto {
		paths = []restorePath{force}
	}
	var last error
	for _, p := range paths {
		r := &restorer{path: p, forced: force != restoreAuto}
		r.scans.New = func() any { return new(pageScan) }
		if last = r.prove(); last == nil {
			return r, nil
		}
		r.close()
	}
	return nil, fmt.Errorf("restore path %v does not work here: %w", paths[len(paths)-1], last)
}

func (r *restorer) close() {
	if r.pagemap != nil {
		_ = r.pagemap.Close() // only ever read
		r.pagemap = nil
	}
}

// residue is what restoring left of an instance's own pages, and when to question it.
type residue struct {
	bytes     int
	calls     int // since the last trim
	trimEvery int
	before    int // bytes before the last trim; 0 = the call after it was already seen
}

// memory puts the first size bytes of mem back to view followed by zeros.
func (r *restorer) memory(mem *memory, view []byte, size int, left *residue) error {
	switch {
	case r.path == restoreScan:
		return r.scan(mem, view, size, left)
	case r.path == restoreWalk && (r.forced || size <= walkBelow):
		return r.walk(mem, view, size, left)
	case r.path == restoreCopy, !r.forced && size <= copyBelow:
		left.bytes = size
		copy(mem.reserved[:size], view)
		clear(mem.reserved[min(len(view), size):size])
		return nil
	}
	left.bytes = 0
	return mem.drop(0, size)
}

// pageScan is the argument of the PAGEMAP_SCAN ioctl and the room for its answer.
type pageScan struct {
	arg struct {
		size, flags, start, end, walkEnd, vec, vecLen, maxPages uint64
		inverted, mask, anyOf, returned                         uint64
	}
	runs [64]struct{ start, end, categories uint64 }

	pages [512]uint64 // for restoreWalk
}

const (
	pagemapScan = 3<<30 | 96<<16 | 'f'<<8 | 16 // _IOWR('f', 16, struct pm_scan_arg)

	pageFile      = 1 << 2
	pagePresent   = 1 << 3
	pageSwapped   = 1 << 4
	pageZeroFrame = 1 << 5
)

// scan asks for the pages that are present or swapped, not the file's and not the shared zero page: exactly those the
// process has copied on writing. It copies the image over them while they stay under the cap and drops the others.
func (r *restorer) scan(mem *memory, view []byte, size int, left *residue) error {
	if size == 0 {
		return nil
	}
	if left.due() {
		return mem.drop(0, size)
	}
	s := r.scans.Get().(*pageScan)
	defer r.scans.Put(s)
	base := uint64(uintptr(unsafe.Pointer(&mem.reserved[0])))
	end := base + uint64(size)
	kept := 0
	for cur := base; cur < end; {
		a := &s.arg
		a.size, a.start, a.end = uint64(unsafe.Sizeof(*a)), cur, end
		a.vec, a.vecLen = uint64(uintptr(unsafe.Pointer(&s.runs[0]))), uint64(len(s.runs))
		a.inverted, a.mask = pageFile|pageZeroFrame, pageFile|pageZeroFrame
		a.anyOf, a.returned = pagePresent|pageSwapped, pageFile
		// The call takes about a microsecond and does not block: not worth the scheduler's notice.
		n, _, errno := unix.RawSyscall(unix.SYS_IOCTL, r.fd, pagemapScan, uintptr(unsafe.Pointer(a)))
		if errno != 0 {
			return fmt.Errorf("find written pages: %w", errno)
		}
		for _, run := range s.runs[:n] {
			from, to := int(run.start-base), int(run.end-base)
			if kept+to-from > residentCap {
				left.saw(kept)
				return mem.drop(from, size)
			}
			kept += to - from
			putBack(mem, view, from, to)
		}
		if a.walkEnd <= cur {
			return fmt.Errorf("find written pages: the kernel stopped at %#x of %#x-%#x", a.walkEnd, cur, end)
		}
		cur = a.walkEnd
	}
	left.saw(kept)
	return nil
}

// putBack makes [from, to) what the image has there, zeros behind its end.
func putBack(mem *memory, view []byte, from, to int) {
	if from < len(view) {
		from += copy(mem.reserved[from:to], view[from:])
	}
	clear(mem.reserved[from:to])
}

// What /proc/self/pagemap says of a page since Linux 4.2.
const (
	mapPresent = 1 << 63
	mapSwapped = 1 << 62
	mapFile    = 1 << 61
)

// walk does what scan does with the list of all pages.
func (r *restorer) walk(mem *memory, view []byte, size int, left *residue) error {
	if size == 0 {
		return nil
	}
	if left.due() {
		return mem.drop(0, size)
	}
	s := r.scans.Get().(*pageScan)
	defer r.scans.Put(s)
	page := os.Getpagesize()
	base := uintptr(unsafe.Pointer(&mem.reserved[0])) / uintptr(page) * 8
	kept := 0
	for at := 0; at < size; {
		want := min(len(s.pages), (size-at)/page) * 8
		n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, r.fd, uintptr(unsafe.Pointer(&s.pages[0])), uintptr(want), base+uintptr(at/page*8), 0, 0)
		if errno != 0 || n == 0 || n%8 != 0 {
			return fmt.Errorf("read the list of pages: %d bytes: %w", n, errno)
		}
		for _, p := range s.pages[:n/8] {
			if p&(mapPresent|mapSwapped) != 0 && p&mapFile == 0 {
				if kept+page > residentCap {
					left.saw(kept)
					return mem.drop(at, size)
				}
				kept += page
				putBack(mem, view, at, at+page)
			}
			at += page
		}
	}
	left.saw(kept)
	return nil
}

// due tells whether this call's pages are to be dropped instead of copied, to learn which ones calls really write: a
// page once written stays resident and would be copied for ever.
func (l *residue) due() bool {
	l.calls++
	if l.bytes <= trimAbove || l.calls < max(l.trimEvery, trimSoonest) {
		return false
	}
	l.calls, l.before, l.bytes = 0, l.bytes, 0
	return true
}

// saw notes what a scan found; after a trim that was in vain the next one comes later.
func (l *residue) saw(bytes int) {
	l.bytes = bytes
	if l.before == 0 {
		return
	}
	if bytes >= l.before/4*3 {
		l.trimEvery = min(2*max(l.trimEvery, trimSoonest), trimRarest)
	} else {
		l.trimEvery = trimSoonest
	}
	l.before = 0
}

// prove writes into, grows and reads a small memory over an image and checks that the path restores all of it.
func (r *restorer) prove() error {
	if r.path == restoreScan || r.path == restoreWalk {
		f, err := os.Open("/proc/self/pagemap")
		if err != nil {
			return err
		}
		r.pagemap, r.fd = f, f.Fd()
	}
	const size, grown = 2 * wasmPage, 3 * wasmPage
	want := make([]byte, grown)
	for i := 0; i < size; i += 3 * imageChunk / 2 {
		want[i] = byte(1 + i/imageChunk)
	}
	img := &image{file: -1}
	defer img.close()
	if err := img.captureMemory(want[:size]); err != nil {
		return err
	}
	mem, err := newMemory(grown, new(budget))
	if err != nil {
		return err
	}
	defer mem.Free()
	if err := mem.overlay(img.file, size); err != nil {
		return err
	}
	for round := range 3 {
		got := mem.Reallocate(grown)
		if !bytes.Equal(got, want) {
			return fmt.Errorf("round %d: memory differs from its image", round)
		}
		for i := round * imageChunk; i < grown; i += 5*imageChunk + 7 {
			got[i]++
		}
		if err := r.memory(mem, img.view, grown, new(residue)); err != nil {
			return err
		}
	}
	if got := mem.Reallocate(grown); !bytes.Equal(got, want) {
		return fmt.Errorf("memory differs from its image at the end")
	}
	return nil
}
