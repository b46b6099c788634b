package runtime

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero/api"

	"hearth/backends"
	"hearth/runtime/quickjs"
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

// abi is how a module is called.
type abi uint8

const (
	command abi = iota
	wasmReactor
	javascript
)

// abiOf recognises it.
func abiOf(f *rewrite.Facts) abi {
	switch {
	case f.ImportsFrom(quickjs.Module):
		return javascript
	case isReactor(f):
		return wasmReactor
	}
	return command
}

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

	initialised
	fresh  *rand.ChaCha8 // seeds its generators
	engine engine        // of a script
	owned  owned         // by the host in the memory of one that keeps its state
}

// initialised is what is known of an instance that can take requests. It holds for every instance made from its image.
type initialised struct {
	generators []int // of random numbers, in its memory
	script     script
}

// start makes a worker's new instance ready for requests: the first one is initialised and becomes the image of the others.
func (m *Module) start(w *worker) error {
	w.unfit = true
	p := &m.pool
	p.mu.Lock()
	img, ready := p.image, p.initialised
	p.mu.Unlock()
	if img == nil {
		own := p.unshared.Load()
		var proven bool
		var err error
		if ready, proven, err = m.initialise(w, own); err != nil {
			return err
		}
		if !proven && !own { // it drew what every instance draws: it makes way for one that draws its own
			p.unshared.Store(true)
			m.discard(w)
			w.instance = nil
			if err = m.instantiate(w); err != nil {
				return err
			}
			if ready, _, err = m.initialise(w, true); err != nil {
				return err
			}
		}
		if !proven || p.fresh {
			w.bind(m, ready)
			w.unfit = !m.spec.Keep
			return nil
		}
		if img, ready, err = m.firstImage(w, ready); err != nil {
			return err
		}
	}
	if err := w.adopt(img); err != nil {
		return err
	}
	w.bind(m, ready)
	w.unfit = false
	return nil
}

// firstImage captures the worker's instance, unless another one was faster.
func (m *Module) firstImage(w *worker, ready initialised) (*image, initialised, error) {
	p := &m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.image == nil {
		img, err := captureImage(w.mod, traitsOf(&m.code.facts))
		if err != nil {
			return nil, ready, err
		}
		p.image, p.initialised = img, ready
	}
	return p.image, p.initialised, nil
}

// initialise runs a new instance up to where it can take requests, without showing it the one that made it necessary. What it takes as
// random numbers and as the time is the same in every instance, because all of them share the image. proven is false when it
// asked for them and nobody can give each call its own: such an instance is good for one call, and initialised with its own.
func (m *Module) initialise(w *worker, own bool) (ready initialised, proven bool, err error) {
	c, req := &w.call, w.call.req
	f := &frozen{early: initialising, random: rand.NewChaCha8(m.pool.seed), clock: m.pool.loaded}
	if own {
		f.random, f.clock = newStream(), int64(time.Since(m.engine.started))
	}
	c.freezing, c.req = f, &backends.Request{Start: req.Start}
	c.counter.Set(freshCounter)
	if m.code.abi == javascript {
		ready.script, err = m.evaluate(w)
	} else if start := w.mod.ExportedFunction(reactorInit); start != nil {
		err = start.CallWithStack(c, nil)
	}
	c.freezing, c.req = nil, req
	c.fds = m.secrets.open(c.fds)
	if err != nil {
		return ready, false, c.verdict(err)
	}
	if f.seeded {
		ready.generators = findGenerators(*w.state.buffer)
	}
	return ready, !f.unproven && (!f.seeded || len(ready.generators) > 0), nil
}

// bind finds what is called in the worker's instance.
func (w *worker) bind(m *Module, ready initialised) {
	r := &w.reactor
	r.initialised = ready
	if r.fresh == nil && len(ready.generators) > 0 {
		r.fresh = newStream()
	}
	if r.visit == nil {
		r.visit = r.line
	}
	if m.code.abi == javascript {
		r.engine = bindEngine(w.mod)
		return
	}
	r.alloc, r.handle = w.mod.ExportedFunction(reactorAlloc), w.mod.ExportedFunction(reactorHandle)
	r.restored = w.mod.ExportedFunction(reactorRestore)
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
