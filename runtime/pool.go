package runtime

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"hearth/backends"
)

// When idle instances give memory back: first the pages calls have written, then everything. A new instance of an image costs tens of
// microseconds.
const (
	trimAfter  = 5 * time.Second
	closeAfter = time.Minute
	sweepEvery = time.Second
)

// idleCost is what an idle instance takes besides pages of its own, in bytes: its native stack and what the engine knows of it.
const idleCost = 24 << 10

// pool keeps the idle instances of one module. The last one used is the next one used: its memory is warm, and the others can rest. Every
// instance in it is in the state of the image, but for functions that keep their state.
type pool struct {
	mu    sync.Mutex
	idle  []*worker
	image *image
	fresh bool // instances cannot be restored: one per call

	early     earliness // where programs are frozen
	fromStart bool      // programs are not frozen: every call runs from the start
	retired   []*image  // of programs frozen elsewhere, which workers may still have

	initialised             // of reactors and scripts, with the image
	unshared    atomic.Bool // each instance of a reactor is initialised with random numbers of its own

	seed   [32]byte // of what programs take as random numbers before they are frozen
	loaded int64    // on the engine's clock, what they take as the time
}

// resumption tells how programs are run now.
func (p *pool) resumption() (early earliness, fromStart bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.early, p.fromStart
}

// pop takes the instance that was used last; nil if there is none.
func (p *pool) pop() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	w := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return w
}

// ready makes sure that a worker has an instance in its first state and the memory for it.
func (m *Module) ready(w *worker) error {
	if w.instance != nil {
		if size := int64(w.mem.size); w.mem.charge(size) || m.engine.evict(m) && w.mem.charge(size) {
			return nil
		}
		return errMemoryBudget
	}
	err := m.instantiate(w)
	if err == nil && m.code.abi != command {
		return m.start(w)
	}
	if err != nil || m.pool.fresh {
		return err
	}
	if early, fromStart := m.pool.resumption(); !fromStart && w.adopting == nil {
		if err = w.freeze(m, early); err == errNoFreeze {
			m.pool.runFromStart()
			m.discard(w)
			w.instance = nil
			err = m.instantiate(w)
		}
	}
	img := w.adopting
	if err == nil && img == nil {
		img, err = m.imageOf(w)
	}
	if err == nil && img != nil {
		err = w.adopt(img)
	}
	w.unfit = err != nil || img == nil
	return err
}

// runFromStart gives up freezing.
func (p *pool) runFromStart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fromStart {
		p.fromStart = true
		p.retire(nil)
	}
}

// retire makes img the image of new workers. Those that are in calls keep theirs and are closed after it. p.mu is held.
func (p *pool) retire(img *image) {
	if p.image != nil {
		p.retired = append(p.retired, p.image)
	}
	p.image = img
}

// template gives what the next instance is made from, and the image it must adopt if its data is only there.
func (m *Module) template() (wazero.CompiledModule, *image) {
	p := &m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.image != nil && m.code.bare != nil && (m.code.abi != command || p.fromStart) {
		return m.code.bare, p.image
	}
	return m.code.guest, nil
}

// instantiate gives the worker an instance, at the cost of idle ones of other functions when memory is short.
func (m *Module) instantiate(w *worker) error {
	err := w.instantiate(m)
	if errors.Is(err, backends.ErrUnavailable) && m.engine.evict(m) { // of the budget, or of the system's mappings
		err = w.instantiate(m)
	}
	return err
}

var errMemoryBudget = backends.Errorf(backends.ErrUnavailable, "the memory for all functions together is in use (--memory-budget)")

// imageOf returns the image of the module, which the first instance made is the model of. Without an error and an image the instance is
// good for one call: it is not in the state of the image.
func (m *Module) imageOf(w *worker) (*image, error) {
	p := &m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := w.call.frozen; f == nil && !p.fromStart || f != nil && (p.fromStart || f.early != p.early) {
		return nil, nil // made while that changed
	}
	if p.image == nil {
		img, err := captureImage(w.mod, traitsOf(&m.code.facts))
		if err != nil {
			return nil, err
		}
		p.image = img
	} else if was := w.differs(p.image); was != "" {
		m.engine.log.Error("a program does not come to the same state every time", "function", m.spec.Key.String(), "differs", was)
		return nil, nil
	}
	return p.image, nil
}

// give puts an instance back into its first state and into the pool; one that is not fit for it is closed.
func (m *Module) give(w *worker) {
	p := &m.pool
	if w.instance == nil {
		return
	}
	keep := m.spec.Keep
	if w.unfit || p.fresh && !keep || w.hoards() {
		m.discard(w)
		return
	}
	if keep {
		p.mu.Lock()
		p.idle = append(p.idle, w)
		p.mu.Unlock()
		return
	}
	if err := w.restore(m.engine.restorer); err != nil {
		m.engine.log.Error("an instance could not be restored", "function", m.spec.Key.String(), "error", err)
		m.discard(w)
		return
	}
	w.mem.release(idleCost + int64(w.left.bytes))
	w.lean = false
	p.mu.Lock() // Close waits for this call before it closes the pool
	current := w.img == p.image
	if current {
		p.idle = append(p.idle, w)
	}
	p.mu.Unlock()
	if !current {
		m.discard(w)
	}
}

func (m *Module) discard(w *worker) {
	m.counts.closed.Add(1)
	w.close(context.Background())
}

// rest trims instances idle for long, the oldest first, and closes those idle for longer. What instances keep must not be trimmed, and
// the last one stays.
func (m *Module) rest(now time.Time) {
	p, closable := &m.pool, 0
	p.mu.Lock()
	old := 0
	if closable = len(p.idle); m.spec.Keep {
		closable--
	}
	for old < closable && now.Sub(p.idle[old].since) > closeAfter {
		old++
	}
	gone := append([]*worker(nil), p.idle[:old]...)
	p.idle = append(p.idle[:0], p.idle[old:]...)
	for _, w := range p.idle {
		if now.Sub(w.since) <= trimAfter {
			break
		}
		if !w.lean && !m.spec.Keep { // under the mutex: nobody may take it meanwhile
			w.lean = true
			if err := w.mem.drop(0, w.mem.touched); err != nil {
				m.engine.log.Error("an idle instance could not be trimmed", "function", m.spec.Key.String(), "error", err)
			}
			w.left = residue{}
			w.mem.release(idleCost)
		}
	}
	p.mu.Unlock()
	for _, w := range gone {
		m.discard(w)
	}
}

// drain closes every idle instance.
func (p *pool) drain(m *Module) int {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, w := range idle {
		m.discard(w)
	}
	return len(idle)
}

// close frees what the pool holds. No call is in flight.
func (p *pool) close(m *Module) {
	p.drain(m)
	p.retire(nil)
	for _, img := range p.retired {
		img.close()
	}
	p.retired = nil
}

// evict makes room in the memory budget by closing idle instances of other modules; false if there are none.
func (e *Engine) evict(except *Module) bool {
	e.mu.Lock()
	others := make([]*Module, 0, len(e.modules))
	for m := range e.modules {
		if m != except {
			others = append(others, m)
		}
	}
	e.mu.Unlock()
	closed := 0
	for _, m := range others {
		closed += m.pool.drain(m)
	}
	return closed > 0
}

// sweep lets idle instances rest until the engine closes.
func (e *Engine) sweep() {
	defer e.flights.Done()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-ticker.C:
			e.mu.Lock()
			modules := make([]*Module, 0, len(e.modules))
			for m := range e.modules {
				modules = append(modules, m)
			}
			e.mu.Unlock()
			for _, m := range modules {
				m.rest(now)
			}
		}
	}
}
