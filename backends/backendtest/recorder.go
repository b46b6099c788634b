package backendtest

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"hearth/backends"
)

// Recorder is a backends.Table that keeps what it is told and notes what a
// backend must not do: speak before Replace, give two entries of one key, an
// entry without a valid key, or a generation that falls.
type Recorder struct {
	mu       sync.Mutex
	replaced bool
	entries  map[backends.Key]backends.Entry
	faults   []string
	changed  chan struct{} // closed and made anew by every change
}

// NewRecorder makes an empty table.
func NewRecorder() *Recorder {
	return &Recorder{changed: make(chan struct{})}
}

// Replace implements backends.Table.
func (r *Recorder) Replace(entries []backends.Entry) {
	r.change("Replace", func() {
		r.replaced = true
		fresh := make(map[backends.Key]backends.Entry, len(entries))
		for _, e := range entries {
			if _, ok := fresh[e.Status.Key]; ok {
				r.fault("Replace: two entries of %s", e.Status.Key)
			}
			r.check(e)
			fresh[e.Status.Key] = e
		}
		r.entries = fresh
	})
}

// Set implements backends.Table.
func (r *Recorder) Set(e backends.Entry) {
	r.change("Set", func() {
		r.check(e)
		if r.entries == nil {
			r.entries = map[backends.Key]backends.Entry{}
		}
		r.entries[e.Status.Key] = e
	})
}

// Delete implements backends.Table.
func (r *Recorder) Delete(key backends.Key) {
	r.change("Delete", func() { delete(r.entries, key) })
}

func (r *Recorder) change(method string, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.replaced && method != "Replace" {
		r.fault("%s came before Replace", method)
	}
	do()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Recorder) check(e backends.Entry) {
	k := e.Status.Key
	if _, err := backends.NewKey(k.Namespace, k.Name); err != nil || k.Namespace == "" {
		r.fault("entry %q: %v", k, err)
	}
	if old, ok := r.entries[k]; ok && e.Status.Generation < old.Status.Generation {
		r.fault("entry %s: generation fell from %d to %d", k, old.Status.Generation, e.Status.Generation)
	}
	if e.Status.Generation < 1 {
		r.fault("entry %s: generation %d", k, e.Status.Generation)
	}
}

func (r *Recorder) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// Faults gives what the backend must not have done.
func (r *Recorder) Faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.faults...)
}

// Entries gives a copy of what the table holds.
func (r *Recorder) Entries() map[backends.Key]backends.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.entries)
}

// Wait returns true as soon as the table was replaced and is as asked, false
// after the time is up. is must not keep the map.
func (r *Recorder) Wait(most time.Duration, is func(map[backends.Key]backends.Entry) bool) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		r.mu.Lock()
		ok, changed := r.replaced && is(r.entries), r.changed
		r.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}
