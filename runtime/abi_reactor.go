package runtime

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/tetratelabs/wazero/api"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// The reactor ABI, for the least time per call: a module that is initialised once and then handles requests that are written into its
// memory (docs/abi/reactor.md).
//
//	alloc(size i32) -> (pointer i32)                        room for a request
//	handle(pointer i32, size i32) -> (pointer<<32 | size)   answers it
//	_initialize()                                           optional, once
//	on_restore()                                            optional, before every call
//
// Numbers are 32 bits, little-endian. Header lines are Name: value, each ended by a line feed.
//
//	request   method path query header body lengths, then these five
//	answer    status, header and body lengths, then header and body; status 0 is 200
const (
	reactorAlloc   = "alloc"
	reactorHandle  = "handle"
	reactorRestore = "on_restore"
	reactorInit    = "_initialize"

	requestHead = 5 * 4
	answerHead  = 3 * 4
)

// isReactor tells whether a module has the exports of the reactor ABI.
func isReactor(f *rewrite.Facts) bool {
	return f.Exported(reactorAlloc) == "(i32)->(i32)" && f.Exported(reactorHandle) == "(i32 i32)->(i64)"
}

// reactor is what a worker needs to call its instance of one.
type reactor struct {
	alloc, handle, restored api.Function
	stack                   [2]uint64
	header                  []byte // of the request, as lines
	visit                   func(name, value []byte) bool

	generators []int // of random numbers, in its memory
	fresh      *rand.ChaCha8
}

// initialise runs a new instance up to where it can take requests, without showing it the one that made it necessary. What it takes as
// random numbers and as the time is the same in every instance, because all of them share the image. proven is false when it
// asked for them and nobody can give each call its own: such an instance is good for one call.
func (w *worker) initialise(m *Module) (proven bool, err error) {
	r, c := &w.reactor, &w.call
	r.alloc, r.handle = w.mod.ExportedFunction(reactorAlloc), w.mod.ExportedFunction(reactorHandle)
	r.restored = w.mod.ExportedFunction(reactorRestore)
	if r.visit == nil {
		r.visit = r.line
	}
	f := &frozen{early: initialising, random: rand.NewChaCha8(m.pool.seed), clock: m.pool.loaded}
	if start := w.mod.ExportedFunction(reactorInit); start != nil {
		req := c.req
		c.freezing, c.req = f, &backends.Request{Start: req.Start}
		c.counter.Set(freshCounter)
		err = start.CallWithStack(c, nil)
		c.freezing, c.req = nil, req
		c.fds = m.secrets.open(c.fds)
	}
	if err != nil {
		return false, c.verdict(err)
	}
	if r.generators, r.fresh = nil, nil; f.seeded {
		r.generators, r.fresh = findGenerators(*w.state.buffer), newStream()
	}
	return !f.unproven && (!f.seeded || len(r.generators) > 0), nil
}

// react lets the instance answer the request of its call.
func (w *worker) react() error {
	r, c := &w.reactor, &w.call
	for _, at := range r.generators {
		reseed(*w.state.buffer, at, r.fresh)
	}
	if r.restored != nil {
		if err := r.restored.CallWithStack(c, nil); err != nil {
			return err
		}
	}
	r.header = r.header[:0]
	if c.req.Header != nil {
		c.req.Header.Visit(r.visit)
	}
	q := c.req
	size := requestHead + len(q.Method) + len(q.Path) + len(q.Query) + len(r.header) + len(q.Body)
	if size > math.MaxInt32 {
		return backends.Errorf(backends.ErrTooLarge, "a request of %d bytes is more than a module can take", size)
	}
	r.stack[0] = uint64(size)
	if err := r.alloc.CallWithStack(c, r.stack[:1]); err != nil {
		return err
	}
	at := uint32(r.stack[0])
	frame, ok := part(*w.state.buffer, at, uint32(size))
	if !ok || at == 0 {
		return &halt{backends.Errorf(backends.ErrFunction, "alloc(%d) returned %d, where there is no such room", size, at)}
	}
	r.write(frame, q)
	r.stack[0], r.stack[1] = uint64(at), uint64(size)
	if err := r.handle.CallWithStack(c, r.stack[:]); err != nil {
		return err
	}
	return c.answer.frame(*w.state.buffer, uint32(r.stack[0]>>32), uint32(r.stack[0]))
}

// line appends one header line.
func (r *reactor) line(name, value []byte) bool {
	r.header = append(append(append(append(r.header, name...), ": "...), value...), '\n')
	return true
}

// write makes the frame of a request, which has the right size.
func (r *reactor) write(frame []byte, q *backends.Request) {
	parts := [...][]byte{q.Method, q.Path, q.Query, r.header, q.Body}
	at := requestHead
	for i, p := range parts {
		binary.LittleEndian.PutUint32(frame[4*i:], uint32(len(p)))
		at += copy(frame[at:], p)
	}
}

// frame takes the answer that lies in a guest's memory.
func (a *answer) frame(mem []byte, at, size uint32) error {
	bad := func(what string, n uint32) error {
		return &halt{backends.Errorf(backends.ErrFunction, "handle returned an answer at %d of %d bytes: %s %d", at, size, what, n)}
	}
	frame, ok := part(mem, at, size)
	if !ok || size < answerHead {
		return bad("it must lie in a memory of", uint32(len(mem)))
	}
	status, header, body := binary.LittleEndian.Uint32(frame), binary.LittleEndian.Uint32(frame[4:]), binary.LittleEndian.Uint32(frame[8:])
	if status != 0 && (status < 200 || status > 599) {
		return bad("its status is not between 200 and 599 but", status)
	}
	if header > maxHeaderBlock || uint64(answerHead)+uint64(header)+uint64(body) != uint64(size) {
		return bad("its lengths do not add up, with a header of", header)
	}
	if header > 0 {
		if err := setHeader(a.resp, frame[answerHead:answerHead+header]); err != nil {
			return &halt{err}
		}
	}
	if status != 0 {
		a.resp.SetStatus(int(status))
	}
	if err := a.put(frame[answerHead+header:]); err != nil {
		return &halt{err}
	}
	return nil
}

// part is part of a guest's memory, if it lies in it.
func part(mem []byte, at, size uint32) ([]byte, bool) {
	end := uint64(at) + uint64(size)
	if end > uint64(len(mem)) {
		return nil, false
	}
	return mem[at:end:end], true
}
