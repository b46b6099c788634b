package gateway

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"hearth/backends"
)

// table is the gateway's routing table: copy-on-write, one writer at a time,
// read with one atomic load and one map look-up. It is a backends.Table.
type table struct {
	call   backends.CallPolicy  // of functions that say nothing
	scale  backends.ScalePolicy // of functions that say nothing
	mu     sync.Mutex           // of writers
	routes atomic.Pointer[map[string]*route]
}

// route is one function as calls see it. It outlives changes of its entry.
type route struct {
	key    backends.Key
	name   string                 // of key
	target atomic.Pointer[target] // never nil
	counts
	gate gate
	gone atomic.Bool // removed from the table

	changeMu sync.Mutex
	changed  chan struct{} // closed with the next change, if anybody waits

	waking atomic.Int64 // calls that wait for a first replica
	wakeMu sync.Mutex
	flight *flight // that is going on
}

// change gives a channel that is closed when the route changes. What is read
// after the call is not older than the last change before it.
func (r *route) change() <-chan struct{} {
	r.changeMu.Lock()
	defer r.changeMu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// tell wakes those who wait for a change.
func (r *route) tell() {
	r.changeMu.Lock()
	defer r.changeMu.Unlock()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// remove says that no table holds the route any more.
func (r *route) remove() {
	r.gone.Store(true)
	for _, u := range r.target.Load().upstreams {
		u.close()
	}
	r.tell()
}

// target is an entry with everything that a call would else work out.
type target struct {
	backends.Entry
	policy    backends.CallPolicy
	scale     backends.ScalePolicy
	upstreams []*upstream // of Endpoints
}

// answers tells whether a call can be given to it now.
func (t *target) answers() bool { return t.Handler != nil || len(t.Endpoints) > 0 }

func newTable(call backends.CallPolicy, scale backends.ScalePolicy) *table {
	if call.Timeout <= 0 {
		call.Timeout = backends.DefaultCall.Timeout
	}
	t := &table{call: call, scale: scale}
	t.routes.Store(&map[string]*route{})
	return t
}

// lookup finds a function by NAME or NAME.NAMESPACE as it stands in a path,
// without allocating; nil if there is none.
func (t *table) lookup(name []byte) *route {
	return (*t.routes.Load())[string(name)]
}

// invocations gives how often a function was called, 0 for one that is not.
func (t *table) invocations(key backends.Key) float64 {
	if r := (*t.routes.Load())[key.String()]; r != nil {
		return float64(r.started.Load())
	}
	return 0
}

// reap closes the connections to replicas that were idle for too long.
func (t *table) reap(now time.Time) {
	for _, r := range *t.routes.Load() {
		for _, u := range r.target.Load().upstreams {
			u.reap(now)
		}
	}
}

// Replace makes the table hold these entries and no others.
func (t *table) Replace(entries []backends.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, next := *t.routes.Load(), make(map[string]*route, 2*len(entries))
	for i := range entries {
		t.put(old, next, entries[i])
	}
	t.routes.Store(&next)
	for name, r := range old {
		if next[name] != r {
			r.remove()
		}
	}
}

// Set adds or replaces the entry of that key.
func (t *table) Set(e backends.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.routes.Load()
	next := maps.Clone(old)
	t.put(old, next, e)
	t.routes.Store(&next)
}

// Delete removes the entry of that key, if any.
func (t *table) Delete(key backends.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(*t.routes.Load())
	if r := next[key.String()]; r != nil {
		defer r.remove()
	}
	delete(next, key.String())
	if key.Namespace == backends.DefaultNamespace {
		delete(next, key.Name)
	}
	t.routes.Store(&next)
}

// put stores e in next under every name a path may give it, keeping the route
// that old has.
func (t *table) put(old, next map[string]*route, e backends.Entry) {
	key := e.Status.Key
	r := old[key.String()]
	if r == nil {
		r = &route{key: key, name: key.String()}
	}
	// A function that was not deployed through our checks may have values that
	// are not allowed; it is served with the defaults then.
	policy, err := backends.CallPolicyOf(e.Status.Function, t.call)
	if err != nil {
		policy = t.call
	}
	scale, err := backends.ScalePolicyOf(e.Status.Function, t.scale)
	if err != nil {
		scale = t.scale
	}
	policy.Timeout = max(policy.Timeout, time.Millisecond)
	to := &target{Entry: e, policy: policy, scale: scale}
	var before []*upstream
	if t := r.target.Load(); t != nil {
		before = t.upstreams
	}
	to.upstreams = upstreams(before, e.Endpoints)
	r.target.Store(to)
	r.gate.setLimit(policy.MaxInflight * max(1, len(e.Endpoints), e.Status.Available))
	r.tell()
	next[key.String()] = r
	if key.Namespace == backends.DefaultNamespace {
		next[key.Name] = r
	}
}
