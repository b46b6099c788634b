package scaler

import (
	"time"

	"hearth/backends"
)

// self is this gateway among the sources of loads; peers go by their address.
const self = ""

// maxStep is the greatest step of a counter, and the most calls in flight, that
// are believed.
const maxStep = 1e9

// source is one gateway's counters as they were read last.
type source struct {
	read time.Time
	last map[backends.Key]backends.Load
}

// happened is what one function did lately, summed over all gateways.
type happened struct {
	perSecond float64 // calls completed
	inFlight  float64
	active    bool
}

// add sums what happened at this source since it was read last into total. A
// counter that is new or began anew says nothing yet but what is in flight.
func (s *source) add(now time.Time, loads []backends.Load, total map[backends.Key]happened) {
	elapsed := now.Sub(s.read).Seconds()
	s.read = now
	for _, load := range loads {
		if load.InFlight < 0 || load.InFlight > maxStep {
			continue // broken or hostile
		}
		before, seen := s.last[load.Key]
		s.last[load.Key] = load
		h := total[load.Key]
		h.inFlight += float64(load.InFlight)
		h.active = h.active || load.InFlight > 0
		if seen && load.Started >= before.Started && load.Completed >= before.Completed && load.Completed-before.Completed < maxStep {
			h.perSecond += float64(load.Completed-before.Completed) / elapsed
			h.active = h.active || load.Started != before.Started || load.Completed != before.Completed
		}
		total[load.Key] = h
	}
}

// forget drops functions that are no more, now and then.
func (s *source) forget(functions map[backends.Key]*function) {
	if len(s.last) <= 2*len(functions)+16 {
		return
	}
	for key := range s.last {
		if functions[key] == nil {
			delete(s.last, key)
		}
	}
}
