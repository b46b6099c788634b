package gateway

import (
	"context"
	"sync"
	"sync/atomic"

	"hearth/backends"
)

// gate lets so many calls of one function run at once as its policy allows,
// and lets a bounded number wait for their turn in the order they came. It
// costs two atomic operations for a function without a limit.
type gate struct {
	running atomic.Int64
	limit   atomic.Int64 // 0 = none
	queued  atomic.Int64 // waiters in the list

	mu          sync.Mutex
	first, last *waiter
}

// waiter is one call in the queue of a gate.
type waiter struct {
	turn       chan struct{} // holds one when the call may run
	prev, next *waiter
	in         bool // in the list
}

var waiters = sync.Pool{New: func() any { return &waiter{turn: make(chan struct{}, 1)} }}

// enter waits for the call's turn. ErrBusy, with nothing taken, if most wait
// already or ctx ends first because of its deadline; ErrCanceled if the client
// went away. After nil the call must leave.
func (g *gate) enter(ctx context.Context, most int) error {
	if g.limit.Load() == 0 {
		g.running.Add(1)
		return nil
	}
	if g.queued.Load() == 0 && g.take() {
		return nil
	}
	return g.queue(ctx, most)
}

// take takes a place if there is one.
func (g *gate) take() bool {
	for {
		n, limit := g.running.Load(), g.limit.Load()
		if limit > 0 && n >= limit {
			return false
		}
		if g.running.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *gate) queue(ctx context.Context, most int) error {
	w := waiters.Get().(*waiter)
	g.mu.Lock()
	if g.queued.Load() >= int64(most) {
		g.mu.Unlock()
		waiters.Put(w)
		return errQueueFull
	}
	g.push(w)
	g.admit() // a place may have become free since take failed
	g.mu.Unlock()
	select {
	case <-w.turn:
		waiters.Put(w)
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	waiting := w.in
	if waiting {
		g.remove(w)
	}
	g.mu.Unlock()
	if !waiting { // its turn came at the same time: pass it on
		<-w.turn
		g.leave()
	}
	waiters.Put(w)
	if ctx.Err() == context.Canceled {
		return backends.ErrCanceled
	}
	return errQueueSlow
}

var (
	errQueueFull = backends.Errorf(backends.ErrBusy, "its queue is full")
	errQueueSlow = backends.Errorf(backends.ErrBusy, "its turn did not come in time")
)

// leave gives the place of a call to the next.
func (g *gate) leave() {
	g.running.Add(-1)
	if g.queued.Load() > 0 {
		g.mu.Lock()
		g.admit()
		g.mu.Unlock()
	}
}

// setLimit changes how many may run at once; 0 = any number.
func (g *gate) setLimit(n int) {
	if g.limit.Swap(int64(n)) != int64(n) {
		g.mu.Lock()
		g.admit()
		g.mu.Unlock()
	}
}

// admit lets those at the head of the queue run for whom there is room; mu is
// held.
func (g *gate) admit() {
	for g.first != nil && g.take() {
		w := g.first
		g.remove(w)
		w.turn <- struct{}{}
	}
}

func (g *gate) push(w *waiter) {
	w.in, w.prev, w.next = true, g.last, nil
	if g.last == nil {
		g.first = w
	} else {
		g.last.next = w
	}
	g.last = w
	g.queued.Add(1)
}

func (g *gate) remove(w *waiter) {
	if w.prev == nil {
		g.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		g.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.in, w.prev, w.next = false, nil, nil
	g.queued.Add(-1)
}
