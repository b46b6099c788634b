package gateway

import (
	"maps"
	"sync"
	"sync/atomic"

	"hearth/backends"
)

// table is the gateway's routing table: copy-on-write, one writer at a time,
// read with one atomic load and one map look-up. It is a backends.Table.
type table struct {
	mu     sync.Mutex // of writers
	routes atomic.Pointer[map[string]*route]
}

// route is one function as calls see it.
type route struct {
	key   backends.Key
	entry atomic.Pointer[backends.Entry]
}

func newTable() *table {
	t := &table{}
	t.routes.Store(&map[string]*route{})
	return t
}

// lookup finds a function by NAME or NAME.NAMESPACE as it stands in a path,
// without allocating; nil if there is none.
func (t *table) lookup(name []byte) *route {
	return (*t.routes.Load())[string(name)]
}

// Replace makes the table hold these entries and no others.
func (t *table) Replace(entries []backends.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, next := *t.routes.Load(), make(map[string]*route, 2*len(entries))
	for i := range entries {
		put(old, next, entries[i])
	}
	t.routes.Store(&next)
}

// Set adds or replaces the entry of that key.
func (t *table) Set(e backends.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.routes.Load()
	next := maps.Clone(old)
	put(old, next, e)
	t.routes.Store(&next)
}

// Delete removes the entry of that key, if any.
func (t *table) Delete(key backends.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(*t.routes.Load())
	delete(next, key.String())
	if key.Namespace == backends.DefaultNamespace {
		delete(next, key.Name)
	}
	t.routes.Store(&next)
}

// put stores e in next under every name a path may give it, keeping the route
// that old has.
func put(old, next map[string]*route, e backends.Entry) {
	key := e.Status.Key
	r := old[key.String()]
	if r == nil {
		r = &route{key: key}
	}
	r.entry.Store(&e)
	next[key.String()] = r
	if key.Namespace == backends.DefaultNamespace {
		next[key.Name] = r
	}
}
