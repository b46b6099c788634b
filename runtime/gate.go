package runtime

import (
	"sync"
	"sync/atomic"
)

// gate counts calls in flight and lets none in once it is closed.
type gate struct {
	state   atomic.Int64 // two per call, and one when closed
	once    sync.Once
	drained chan struct{}
}

// enter counts a call, false when the gate is closed.
func (g *gate) enter() bool {
	if g.state.Add(2)&1 == 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.state.Add(-2) == 1 {
		g.once.Do(func() { close(g.drained) })
	}
}

// close shuts the gate and waits for the calls inside.
func (g *gate) close() {
	if g.state.Or(1) == 0 {
		g.once.Do(func() { close(g.drained) })
	}
	<-g.drained
}
