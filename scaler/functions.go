package scaler

import (
	"slices"
	"time"

	"hearth/backends"
)

// byHandFor is how long a function that somebody scaled by hand is left alone.
const byHandFor = 5 * time.Minute

// maxEvents is how many changes are remembered per function.
const maxEvents = 32

// function is what the scaler knows of one function.
type function struct {
	status   backends.Status
	policy   backends.ScalePolicy
	alerts   bool // its label scale.factor leaves it to alerts
	window   *Window
	ordered  int       // replicas that we asked for last; -1 = never
	ordering bool      // a Scale of ours is under way
	byHand   time.Time // when somebody else scaled it; zero = did not happen
	latest   Decision
	events   []backends.ScaleEvent
}

var _ backends.Table = (*Scaler)(nil)

// Replace makes the scaler know these functions and no others.
func (s *Scaler) Replace(entries []backends.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.functions
	s.functions = make(map[backends.Key]*function, len(entries))
	for i := range entries {
		key := entries[i].Status.Key
		s.functions[key] = s.updated(old[key], entries[i].Status)
	}
}

// Set adds or replaces one function.
func (s *Scaler) Set(e backends.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := e.Status.Key
	s.functions[key] = s.updated(s.functions[key], e.Status)
}

// Delete forgets one function.
func (s *Scaler) Delete(key backends.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.functions, key)
}

// updated is f, or a new function if nil, with another status. Replicas that
// changed to what we did not ask for were set by somebody else, unless they
// came with a new version or by a wake from zero.
func (s *Scaler) updated(f *function, status backends.Status) *function {
	now := time.Now()
	if f == nil {
		f = &function{window: NewWindow(now), ordered: -1}
	}
	changed := f.status.Generation != status.Generation || f.status.Name == ""
	from, to := f.status.Replicas, status.Replicas
	if !changed && from != to && from != 0 && to != f.ordered && !f.ordering {
		f.byHand = now
	}
	if changed {
		// A label that a backend let through though it is wrong leaves the default.
		f.policy, _ = backends.ScalePolicyOf(status.Function, s.cfg.Defaults)
		_, f.alerts = status.Labels[backends.LabelScaleFactor]
		f.byHand = time.Time{}
	}
	f.status = status
	return f
}

// Scaling tells what is known of a function, newest event last.
func (s *Scaler) Scaling(key backends.Key) (backends.Scaling, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.functions[key]
	if !ok {
		return backends.Scaling{}, false
	}
	return backends.Scaling{
		Replicas: f.status.Replicas, Want: f.latest.Want, Reason: f.latest.Reason.String(),
		Load: f.latest.Reason.Load, Events: slices.Clone(f.events),
	}, true
}

// note remembers a change, and forgets the oldest beyond maxEvents.
func (f *function) note(e backends.ScaleEvent) {
	if len(f.events) == maxEvents {
		f.events = slices.Delete(f.events, 0, 1)
	}
	f.events = append(f.events, e)
}
