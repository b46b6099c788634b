package runtime

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// queue makes somebody wait for a slot and returns once it does. What the waiter got is appended to order under its name.
type queue struct {
	t     *testing.T
	s     *slots
	mu    sync.Mutex
	order []string
	all   sync.WaitGroup
}

func (q *queue) wait(ctx context.Context, l *lane, resumes bool, name string) {
	before := len(l.begin) + len(l.resume)
	q.all.Go(func() {
		if q.s.acquire(ctx, l, resumes) {
			q.mu.Lock()
			q.order = append(q.order, name)
			q.mu.Unlock()
		}
	})
	for n := before; n == before; {
		q.s.mu.Lock()
		n = len(l.begin) + len(l.resume)
		q.s.mu.Unlock()
	}
}

// grant gives the slot back n times and returns who got it, in order.
func (q *queue) grant(holder *lane, n int) string {
	for i := range n {
		q.s.release(holder)
		holder = &lane{computing: 1} // whoever has it now is of no interest
		for {
			q.mu.Lock()
			got := len(q.order)
			q.mu.Unlock()
			if got > i {
				break
			}
		}
	}
	return strings.Join(q.order, " ")
}

func TestFunctionsTakeTurnsHoweverManyCallsTheyHave(t *testing.T) {
	s := newSlots(1)
	q, a, b := &queue{t: t, s: &s}, &lane{}, &lane{}
	if !s.try(a) || s.try(b) {
		t.Fatal("one slot, and not one call got it")
	}
	for _, name := range []string{"a1", "a2", "a3"} {
		q.wait(t.Context(), a, false, name)
	}
	q.wait(t.Context(), b, false, "b1")
	q.wait(t.Context(), b, false, "b2")
	if got := q.grant(a, 5); got != "a1 b1 a2 b2 a3" {
		t.Errorf("order %s", got)
	}
	q.all.Wait()
}

func TestCallsThatBeginTakeTurnsWithThoseThatGoOn(t *testing.T) {
	s := newSlots(1)
	q, a := &queue{t: t, s: &s}, &lane{}
	s.try(a)
	for _, name := range []string{"new1", "new2"} {
		q.wait(t.Context(), a, false, name)
	}
	for _, name := range []string{"old1", "old2"} {
		q.wait(t.Context(), a, true, name)
	}
	if got := q.grant(a, 4); got != "new1 old1 new2 old2" {
		t.Errorf("order %s", got)
	}
	q.all.Wait()
}

func TestNoCallBeginsWhileManyOfItsFunctionCompute(t *testing.T) {
	s := newSlots(1)
	q, a := &queue{t: t, s: &s}, &lane{}
	s.try(a)
	q.wait(t.Context(), a, false, "new")
	for range s.most {
		q.wait(t.Context(), a, true, "old")
	}
	if got := q.grant(a, 2); got != "old old" {
		t.Errorf("order %s, want those that go on", got)
	}
	s.release(a)
	for range s.most - 2 {
		s.release(a)
	}
	q.all.Wait()
}

func TestWhoGivesUpLeavesTheQueue(t *testing.T) {
	s := newSlots(1)
	q, a, b := &queue{t: t, s: &s}, &lane{}, &lane{}
	s.try(a)
	ctx, cancel := context.WithCancel(t.Context())
	q.wait(ctx, b, false, "gone")
	q.wait(ctx, b, true, "gone too")
	cancel()
	q.all.Wait()
	if s.contended() || b.computing != 0 {
		t.Errorf("still waiting: %+v", b)
	}
	s.release(a)
	if s.free != 1 || a.computing != 0 {
		t.Errorf("%d slots free, %d computing, want the slot back", s.free, a.computing)
	}
}
