package runtime

import (
	"errors"
	"sync/atomic"
	"time"

	"hearth/backends"
)

// Failure is why a call ended with an error.
type Failure uint8

// The failures that Stats tells apart.
const (
	FailedOther    Failure = iota // an answer without its header block and the like
	FailedDeadline                // stopped at its time limit
	FailedCanceled                // the caller went away
	FailedTrap                    // stopped by a trap, or calls nested too deeply
	FailedExit                    // ended with an exit status
	FailedOutput                  // answered too much
	FailedMemory                  // found no memory for an instance
	failures
)

// String is the failure in one word.
func (f Failure) String() string {
	return [...]string{"other", "deadline", "canceled", "trap", "exit", "output", "memory"}[f]
}

// counts are what Stats reports.
type counts struct {
	calls, made, closed atomic.Int64
	busy                atomic.Int64 // nanoseconds
	failed              [failures]atomic.Int64
}

// fail counts a call that ended with err. What err does not tell is how.
func (c *counts) fail(err error, how Failure) {
	for _, k := range [...]struct {
		kind error
		is   Failure
	}{{backends.ErrDeadline, FailedDeadline}, {backends.ErrCanceled, FailedCanceled}, {backends.ErrAnswerTooLarge, FailedOutput},
		{backends.ErrUnavailable, FailedMemory}, {errStack, FailedTrap}} {
		if errors.Is(err, k.kind) {
			how = k.is
			break
		}
	}
	c.failed[how].Add(1)
}

// Resumption is where calls take up a program.
type Resumption string

// The places, from the earliest.
const (
	NotResumed         Resumption = "a new instance per call"
	ResumedStart       Resumption = "its start"
	ResumedCall        Resumption = "the first thing it asks for of a call"
	ResumedInput       Resumption = "its first input or output"
	ResumedInitialised Resumption = "after its initialisation"
)

// Stats is what a module has done since it was loaded.
type Stats struct {
	Calls     int64           // all of them
	Failed    int64           // of those, the ones that ended with an error
	Failures  [failures]int64 // those, by Failure
	InFlight  int             // running or waiting for a run slot
	Made      int64           // instances
	Instances int64           // now
	Idle      int             // of those, the ones no call uses
	Image     int64           // bytes that the image takes
	Memory    int64           // bytes of instances and image
	Resumed   Resumption      // where new calls take up the program
	Busy      time.Duration   // for which calls had a run slot, all in all
}

// Stats reports on the module.
func (m *Module) Stats() Stats {
	s := Stats{Calls: m.counts.calls.Load(), InFlight: m.InFlight(), Made: m.counts.made.Load()}
	for i := range m.counts.failed {
		s.Failures[i] = m.counts.failed[i].Load()
		s.Failed += s.Failures[i]
	}
	s.Instances = s.Made - m.counts.closed.Load()
	m.pool.mu.Lock()
	s.Idle = len(m.pool.idle)
	if m.pool.image != nil {
		s.Image = m.pool.image.private
	}
	switch p := &m.pool; {
	case p.fresh:
		s.Resumed = NotResumed
	case m.code.abi != command:
		s.Resumed = ResumedInitialised
	case p.fromStart:
		s.Resumed = ResumedStart
	case p.early == exact:
		s.Resumed = ResumedCall
	default:
		s.Resumed = ResumedInput
	}
	m.pool.mu.Unlock()
	s.Memory, s.Busy = m.budget.used.Load()+s.Image, time.Duration(m.counts.busy.Load())
	return s
}

// InFlight is how many calls the module answers now.
func (m *Module) InFlight() int { return int(m.calls.state.Load() >> 1) }
