package inproc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

const (
	idleRounds = 15 // of keeping house without a call park a function
	loadTime   = 2 * time.Minute
	minRetry   = 100 * time.Millisecond // after a load that failed
	maxRetry   = 30 * time.Second
)

// function is the Handler of one function in one table, whatever its
// generation. Its first call loads the module; a later generation is loaded
// while the one before answers, and takes its place at once.
type function struct {
	view    *view
	key     backends.Key
	current atomic.Pointer[generation] // what answers; nil = parked
	used    atomic.Bool                // by a call since house was kept

	// Guarded by view.mu.
	entry    backends.Entry // as the backend gave it
	revision int64          // grows with every change of a secret
	loading  chan struct{}  // closed when the load under way ends; nil if none is
	failed   error          // of the last load
	retry    time.Time      // not before, after failed
	backoff  time.Duration
	idle     int           // rounds of keeping house without a call
	past     runtime.Stats // of modules that are closed

	sampled time.Time     // when usage was measured last
	busy    time.Duration // then
	cpu     float64       // in the time before, thousandths of a core
	gone    bool
}

// generation is one loaded module.
type generation struct {
	number, revision int64
	module           module
}

// Invoke answers one call with the present generation.
func (f *function) Invoke(ctx context.Context, req *backends.Request, resp backends.Response) error {
	if !f.used.Load() {
		f.used.Store(true)
	}
	for {
		g := f.current.Load()
		if g == nil {
			var err error
			if g, err = f.ready(ctx); err != nil {
				return err
			}
		}
		err := g.module.Invoke(ctx, req, resp)
		if err == nil || !errors.Is(err, backends.ErrGone) || f.current.Load() == g {
			return err
		}
		// It was replaced between the two lines above and nothing has run.
	}
}

// ready gives the present generation, loading it if need be.
func (f *function) ready(ctx context.Context) (*generation, error) {
	for {
		g, loading, err := f.begin()
		if g != nil || err != nil {
			return g, err
		}
		select {
		case <-loading:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, backends.Errorf(backends.ErrCanceled, "the client went away while function %s was loaded", f.key)
			}
			return nil, backends.Errorf(backends.ErrUnavailable, "function %s was not loaded within the call's time", f.key)
		}
	}
}

// begin gives the present generation, or what is closed when the load that is
// under way, perhaps begun here, has ended.
func (f *function) begin() (*generation, chan struct{}, error) {
	f.view.mu.Lock()
	defer f.view.mu.Unlock()
	if g := f.current.Load(); g != nil {
		return g, nil, nil
	}
	if f.gone {
		return nil, nil, backends.Errorf(backends.ErrGone, "function %s was removed", f.key)
	}
	if f.loading == nil {
		if f.failed != nil && time.Now().Before(f.retry) {
			return nil, nil, backends.Errorf(backends.ErrUnavailable, "function %s cannot be loaded: %v", f.key, f.failed) // not %w: why is not what
		}
		if f.load(); f.loading == nil {
			return nil, nil, f.failed
		}
	}
	return nil, f.loading, nil
}

// update takes what the backend says and gives what the table is to hold.
func (f *function) update(e backends.Entry) backends.Entry {
	old := f.entry.Status
	f.entry = e
	switch {
	case old.Generation != e.Status.Generation:
		f.failed, f.backoff = nil, 0
		if f.current.Load() != nil && f.loading == nil {
			f.load()
		}
	case old.Replicas > 0 && e.Status.Replicas == 0:
		f.park()
	}
	return f.shown()
}

// renew loads the function anew if it is loaded: a secret has changed.
func (f *function) renew() {
	f.revision++
	f.failed, f.backoff = nil, 0
	if f.current.Load() != nil && f.loading == nil {
		f.load()
	}
}

// park frees the module once its calls have ended.
func (f *function) park() { f.retire(f.current.Swap(nil)) }

func (f *function) retire(g *generation) {
	if g == nil {
		return
	}
	f.past = add(f.past, done(g.module.Stats()))
	free := func() {
		if err := g.module.Close(); err != nil {
			f.view.hosted.host.log.Warn("module did not close", "function", f.key, "error", err)
		}
	}
	if !f.view.hosted.host.spawn(free) {
		free() // the Host is closing and waits here instead
	}
}

// parkIfIdle frees the module of a function without calls.
func (f *function) parkIfIdle() {
	if f.used.Swap(false) {
		f.idle = 0
		return
	}
	if f.idle++; f.idle >= idleRounds {
		f.park()
	}
}

// load begins to load what the backend said last.
func (f *function) load() {
	status, revision := f.entry.Status, f.revision
	loading := make(chan struct{})
	f.loading = loading
	if !f.view.hosted.host.spawn(func() {
		begun := time.Now()
		m, err := f.view.hosted.load(status)
		f.view.hosted.host.counters.loaded(time.Since(begun), err)
		f.loaded(m, err, status.Generation, revision)
		close(loading)
	}) {
		f.loading, f.failed = nil, errClosed()
	}
}

// loaded takes the result of a load, and begins another if the function has
// changed meanwhile.
func (f *function) loaded(m module, err error, number, revision int64) {
	f.view.mu.Lock()
	defer f.view.mu.Unlock()
	f.loading = nil
	stale := f.entry.Status.Generation != number || f.revision != revision
	switch {
	case err != nil:
		if stale {
			break
		}
		f.backoff = min(maxRetry, max(minRetry, 2*f.backoff))
		f.failed, f.retry = err, time.Now().Add(f.backoff)
		f.view.hosted.host.log.Warn("function cannot be loaded", "function", f.key.String(), "generation", number, "error", err)
	case f.gone:
		f.retire(&generation{module: m})
	default:
		f.failed, f.backoff, f.idle = nil, 0, 0
		f.retire(f.current.Swap(&generation{number, revision, m}))
	}
	if f.gone {
		return
	}
	if stale && (f.current.Load() != nil || err != nil) {
		f.load()
	}
	f.view.table.Set(f.shown())
}

// shown is the entry as the table is to hold it.
func (f *function) shown() backends.Entry {
	e := f.entry
	e.Handler, e.Endpoints = f, nil
	f.describe(&e.Status)
	return e
}

// describe fills in whether the function can answer.
func (f *function) describe(s *backends.Status) {
	switch answers := f.current.Load() != nil; {
	case answers && f.failed != nil:
		s.Available, s.Problem = s.Replicas, fmt.Sprintf("the latest version cannot be loaded, the one before answers: %v", f.failed)
	case answers:
		s.Available, s.Problem = s.Replicas, ""
	case f.failed != nil:
		s.Available, s.Problem = 0, f.failed.Error()
	default:
		digest, _ := moduleOf(f.entry.Status.Function)
		f.view.hosted.host.describe(s, digest)
	}
}

// load makes a function's module ready.
func (b *hosted) load(s backends.Status) (module, error) {
	h := b.host
	ctx, cancel := context.WithTimeout(h.ctx, loadTime)
	defer cancel()
	select {
	case h.loads <- struct{}{}:
		defer func() { <-h.loads }()
	case <-ctx.Done():
		return nil, errClosed()
	}
	digest, _ := moduleOf(s.Function)
	i, _ := h.parseImage(s.Image) // an image that is none any more has no defaults
	wasm, err := h.modules.read(digest)
	if err != nil && i.wasm != nil && digestOf(i.wasm) == digest {
		wasm, err = i.wasm, h.modules.keep(ctx, i.wasm, h.accepts) // the store's copy is as good
	}
	if err != nil {
		return nil, err
	}
	spec, err := b.spec(ctx, s.Function, i.defaults)
	if err != nil {
		return nil, err
	}
	log, instance := h.logs.of(s.Key), fmt.Sprintf("%s-%d", s.Name, s.Generation)
	spec.Log = func(line []byte) { log.write(instance, line) }
	return h.engine.Load(ctx, wasm, spec)
}

func errClosed() error {
	return backends.Errorf(backends.ErrUnavailable, "the host of functions is closed")
}
