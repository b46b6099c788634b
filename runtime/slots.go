package runtime

import (
	"context"
	"sync"
	"time"
)

// slice is how long a guest keeps its slot while others wait for one.
const slice = 5 * time.Millisecond

// slots bounds how many guests are on a CPU at once, so that the rest of the process is always served. First come, first served; a guest
// that computes for long takes turns with those that wait, and one that sleeps has no slot.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting []*slotWaiter // first in, first out
}

type slotWaiter struct {
	granted chan struct{}
	given   bool // under slots.mu
}

// try takes a slot if there is one and nobody waits for it.
func (s *slots) try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 || len(s.waiting) > 0 {
		return false
	}
	s.free--
	return true
}

// acquire takes a slot, waiting for one until ctx ends. False without a slot.
func (s *slots) acquire(ctx context.Context) bool {
	w := &slotWaiter{granted: make(chan struct{})}
	s.mu.Lock()
	if s.free > 0 && len(s.waiting) == 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case <-w.granted:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.given { // it came at the same time: pass it on
		s.pass()
		return false
	}
	for i := range s.waiting {
		if s.waiting[i] == w {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			break
		}
	}
	return false
}

// release gives a slot back.
func (s *slots) release() {
	s.mu.Lock()
	s.pass()
	s.mu.Unlock()
}

// pass hands a slot to the first that waits. s.mu is held.
func (s *slots) pass() {
	if len(s.waiting) == 0 {
		s.free++
		return
	}
	w := s.waiting[0]
	s.waiting = s.waiting[1:]
	w.given = true
	close(w.granted)
}

// contended tells whether somebody waits.
func (s *slots) contended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) > 0
}
