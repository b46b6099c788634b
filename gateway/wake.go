package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearth/backends"
)

// Bounds of asking a backend for a first replica.
const (
	wakeTimeout = 30 * time.Second       // of one Scale
	wakeRetry   = 100 * time.Millisecond // before the second Scale, doubled up to wakeMaximum
	wakeMaximum = 2 * time.Second
	wakeSettle  = 10 * time.Second // for the table to show what Scale accepted
)

// waker brings functions up from zero: however many calls wait for one, there
// is one request to the backend, and they go on when the table changes.
type waker struct {
	backend backends.Backend
	total   *gatewayCounts
	ctx     context.Context // ends with the gateway
	cancel  context.CancelFunc
	mu      sync.Mutex // of closed against running
	closed  bool
	running sync.WaitGroup
}

func newWaker(b backends.Backend, total *gatewayCounts) *waker {
	w := &waker{backend: b, total: total}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// close ends all flights and waits for them.
func (w *waker) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.running.Wait()
}

// flight is one request for replicas of one function.
type flight struct {
	done chan struct{} // closed when it ended
	err  error         // why it ended, if not because the function has replicas; set before done is closed
}

// start asks for replicas of a function unless that is going on already, and
// gives the flight that does; nil if the gateway is stopping.
func (w *waker) start(r *route) *flight {
	r.wakeMu.Lock()
	defer r.wakeMu.Unlock()
	if r.flight != nil {
		return r.flight
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	r.flight = f
	w.running.Go(func() {
		f.err = w.fly(r)
		r.wakeMu.Lock()
		r.flight = nil
		r.wakeMu.Unlock()
		close(f.done)
	})
	return f
}

// fly scales the function until the backend accepts it and the table shows it,
// as long as someone waits.
func (w *waker) fly(r *route) error {
	for pause := wakeRetry; ; pause = min(2*pause, wakeMaximum) {
		t := r.target.Load()
		if t.Status.Replicas > 0 || r.gone.Load() {
			return nil
		}
		ctx, cancel := context.WithTimeout(w.ctx, wakeTimeout)
		err := w.backend.Scale(ctx, r.key, max(1, t.scale.Min))
		cancel()
		if err == nil {
			w.total.wakes.Add(1)
			return w.settle(r)
		}
		w.total.wakeFaults.Add(1)
		if isKind(err, backends.ErrNotFound, backends.ErrInvalid, backends.ErrUnsupported) || r.waking.Load() == 0 {
			return err
		}
		select {
		case <-time.After(pause):
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// settle waits until the table shows the replicas that the backend accepted,
// so that no second request is made for the same.
func (w *waker) settle(r *route) error {
	limit := time.NewTimer(wakeSettle)
	defer limit.Stop()
	for {
		changed := r.change()
		if r.target.Load().Status.Replicas > 0 || r.gone.Load() {
			return nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return errors.New("the backend accepted a replica and does not show it")
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// ready gives the function's target once it can answer, waking it if need be.
// ErrUnavailable if that does not happen before ctx ends, ErrNotFound if the
// function is removed meanwhile, ErrCanceled if the client goes away.
func (g *Gateway) ready(ctx context.Context, r *route) (*target, error) {
	t := r.target.Load()
	if t.answers() && (t.Status.Replicas > 0 || t.Handler == nil) {
		return t, nil
	}
	if t.Status.Replicas == 0 && !g.cfg.ScaleFromZero {
		return nil, backends.Errorf(backends.ErrUnavailable, "function %s is at zero replicas and the gateway runs with --scale-from-zero=false: scale it up", r.key)
	}
	if t.Handler != nil {
		g.waker.start(r) // the record of it may follow the answer
		return t, nil
	}
	if r.waking.Add(1) > int64(t.policy.MaxQueue) {
		r.waking.Add(-1)
		return nil, errWakeFull
	}
	defer r.waking.Add(-1)
	return g.await(ctx, r)
}

var errWakeFull = backends.Errorf(backends.ErrUnavailable, "too many calls wait for a first replica")

// await waits for a target that answers.
func (g *Gateway) await(ctx context.Context, r *route) (*target, error) {
	for {
		changed := r.change()
		t := r.target.Load()
		switch {
		case r.gone.Load():
			return nil, backends.Errorf(backends.ErrNotFound, "function %s was removed", r.key)
		case t.answers():
			return t, nil
		}
		var failed <-chan struct{}
		var f *flight
		if t.Status.Replicas == 0 {
			if f = g.waker.start(r); f == nil {
				return nil, backends.Errorf(backends.ErrUnavailable, "the gateway is stopping")
			}
			failed = f.done
		}
		select {
		case <-changed:
		case <-failed:
			if f.err != nil {
				return nil, backends.Errorf(backends.ErrUnavailable, "function %s cannot be scaled up: %v", r.key, f.err)
			}
		case <-ctx.Done():
			if ctx.Err() == context.Canceled {
				return nil, backends.ErrCanceled
			}
			return nil, backends.Errorf(backends.ErrUnavailable, "function %s has no replica that can answer, and none came within %s: %s", r.key, t.policy.Timeout, problem(t))
		}
	}
}

// problem says why a function has no replica.
func problem(t *target) string {
	if t.Status.Problem != "" {
		return t.Status.Problem
	}
	return "see its log and /system/function/" + t.Status.Name
}
