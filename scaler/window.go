package scaler

import (
	"math"
	"time"

	"hearth/backends"
)

// maxLoad is the greatest load that is believed. A replica or a peer that
// reports more is broken or hostile, and its figure is ignored.
const maxLoad = 1e9

// staleAfter is how long the newest sample may be old before nothing is
// decided any more.
const staleAfter = 3 * time.Second

// Window is what is remembered of one function's load and of what was
// recommended for it: one sample a second. It is not safe for concurrent use.
// The zero value is not usable; make one with NewWindow.
type Window struct {
	start  time.Time // of second 0; a monotonic reading, so clock jumps do nothing
	active time.Time // when a call was last seen
	loads  ring[float32]
	wants  ring[int32]
	panics panicMode
}

// panicMode is on from the first burst until a stable window after the last.
type panicMode struct {
	until time.Time
	most  int // replicas wanted at the worst moment of it
}

// NewWindow begins to remember at now. The function counts as active then.
func NewWindow(now time.Time) *Window { return &Window{start: now, active: now} }

// Add notes the load during the second that ends at now, in the unit of the
// policy's type, and whether any call began, ended or was under way. Loads that
// are not a number, negative or absurd are as if they had not come.
func (w *Window) Add(p backends.ScalePolicy, now time.Time, load float64, active bool) {
	if active {
		w.active = now
	}
	if math.IsNaN(load) || load < 0 || load > maxLoad {
		return
	}
	w.loads.resize(seconds(max(p.Window, p.PanicWindow)))
	w.loads.put(w.second(now), float32(load))
}

// mean is the mean load of the last d. It is not known when no sample is fresh.
func (w *Window) mean(d time.Duration, now time.Time) (load float64, known bool) {
	second := w.second(now)
	if w.loads.empty() || second-w.loads.last > seconds(staleAfter) {
		return 0, false
	}
	sum, n := 0.0, 0
	for v := range w.loads.since(second - seconds(d) + 1) {
		sum, n = sum+float64(v), n+1
	}
	if n == 0 {
		return 0, false
	}
	return sum / float64(n), true
}

// recommend notes what is wanted now and returns the most that was wanted
// within d, and whether that long has been watched at all.
func (w *Window) recommend(d time.Duration, want int, now time.Time) (most int, covered bool) {
	second := w.second(now)
	w.wants.resize(seconds(d) + 1)
	w.wants.put(second, int32(want))
	for v := range w.wants.since(second - seconds(d)) {
		most = max(most, int(v))
	}
	return most, now.Sub(w.start) >= d
}

func (w *Window) second(now time.Time) int { return seconds(now.Sub(w.start)) }

// seconds is d in whole seconds, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// ring keeps the newest values by the second they belong to.
type ring[T any] struct {
	slots []slot[T]
	last  int // newest second
}

type slot[T any] struct {
	second int
	set    bool
	value  T
}

func (r *ring[T]) empty() bool { return len(r.slots) == 0 || !r.slots[r.last%len(r.slots)].set }

// resize makes room for n seconds and keeps what still fits.
func (r *ring[T]) resize(n int) {
	n = max(n, 1)
	if n == len(r.slots) {
		return
	}
	old := r.slots
	r.slots = make([]slot[T], n)
	for _, s := range old {
		if s.set && s.second > r.last-n {
			r.slots[s.second%n] = s
		}
	}
}

// put sets the value of a second. A clock that went back changes nothing.
func (r *ring[T]) put(second int, v T) {
	if second < r.last || second < 0 {
		return
	}
	r.last = second
	r.slots[second%len(r.slots)] = slot[T]{second, true, v}
}

// since yields the values of that second and later ones.
func (r *ring[T]) since(second int) func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for i := range r.slots {
			if s := &r.slots[i]; s.set && s.second >= second && !yield(s.value) {
				return
			}
		}
	}
}
