package runtime

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slice is how long a guest keeps its slot while others wait for one.
const slice = 5 * time.Millisecond

// slots bounds how many guests are on a CPU at once, so that the rest of the process is always served. Functions take turns, whatever the
// number of their calls; within a function those that wait to begin take turns with those that have computed for a slice. A guest that
// sleeps has no slot.
type slots struct {
	mu    sync.Mutex
	free  int
	most  int     // guests of one function that have begun and want a CPU; further calls wait with no instance
	lanes []*lane // of functions with somebody waiting, the next one first
}

func newSlots(n int) slots { return slots{free: n, most: 4 * n} }

// lane is where the calls of one function wait. All fields are under slots.mu.
type lane struct {
	begin, resume []*slotWaiter // first in, first out
	computing     int           // have a slot, or wait to go on
	began         bool          // the last to get a slot was one that begins
}

type slotWaiter struct {
	granted chan struct{}
	given   bool // under slots.mu
}

func (l *lane) waiting() bool { return len(l.begin)+len(l.resume) > 0 }

// try takes a slot for a call that begins, if there is one free: then nobody waits.
func (s *slots) try(l *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return false
	}
	s.free--
	l.computing++
	return true
}

// acquire waits for a slot until ctx ends, for a call that begins or for one that goes on. False without a slot.
func (s *slots) acquire(ctx context.Context, l *lane, resumes bool) bool {
	w := &slotWaiter{granted: make(chan struct{})}
	s.mu.Lock()
	if !l.waiting() {
		s.lanes = append(s.lanes, l)
	}
	if resumes {
		l.resume = append(l.resume, w)
		l.computing++
	} else {
		l.begin = append(l.begin, w)
	}
	if s.free > 0 {
		s.free--
		s.pass()
	}
	s.mu.Unlock()
	select {
	case <-w.granted:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.given { // it came at the same time: pass it on
		l.computing--
		s.pass()
		return false
	}
	if resumes {
		l.computing--
		l.resume = without(l.resume, w)
	} else {
		l.begin = without(l.begin, w)
	}
	if !l.waiting() {
		s.lanes = slices.DeleteFunc(s.lanes, func(x *lane) bool { return x == l })
	}
	return false
}

func without(list []*slotWaiter, w *slotWaiter) []*slotWaiter {
	i := slices.Index(list, w)
	return slices.Delete(list, i, i+1)
}

// release gives a slot of a function back.
func (s *slots) release(l *lane) {
	s.mu.Lock()
	l.computing--
	s.pass()
	s.mu.Unlock()
}

// pass hands a slot to the function whose turn it is. s.mu is held.
func (s *slots) pass() {
	if len(s.lanes) == 0 {
		s.free++
		return
	}
	l := s.lanes[0]
	s.lanes = s.lanes[:copy(s.lanes, s.lanes[1:])]
	from := &l.begin
	if len(l.resume) > 0 && (len(l.begin) == 0 || l.began || l.computing >= s.most) {
		from = &l.resume
	} else {
		l.computing++
	}
	l.began = from == &l.begin
	w := (*from)[0]
	(*from)[0] = nil
	*from = (*from)[1:]
	if l.waiting() {
		s.lanes = append(s.lanes, l)
	}
	w.given = true
	close(w.granted)
}

// contended tells whether somebody waits.
func (s *slots) contended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lanes) > 0
}
