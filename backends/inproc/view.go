package inproc

import (
	"context"
	"slices"
	"sync"
	"time"

	"hearth/backends"
)

// view stands between a backend's watch and a table: it gives the entries of
// modules a Handler and says again how they are when that changes.
type view struct {
	hosted *hosted
	table  backends.Table

	// mu guards all below and all of the functions but what calls need. It is
	// held while the table is told something, so that the table sees one order.
	mu        sync.Mutex
	watched   bool // a watch feeds it now
	replaced  bool // it has seen all functions
	functions map[backends.Key]*function
}

// enter takes the view for a watch, false if one has it.
func (v *view) enter() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watched {
		return false
	}
	v.watched = true
	return true
}

func (v *view) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watched = false
}

// Replace implements backends.Table.
func (v *view) Replace(entries []backends.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	entries = slices.Clone(entries)
	present := make(map[backends.Key]bool, len(entries))
	for i := range entries {
		if logsHere(entries[i].Status.Function) {
			present[entries[i].Status.Key] = true
		}
		entries[i] = v.adopt(entries[i])
	}
	for key := range v.functions {
		if !present[key] {
			v.forget(key)
		}
	}
	v.hosted.host.logs.retain(func(key backends.Key) bool { return present[key] })
	v.table.Replace(entries)
	if !v.replaced {
		v.replaced = true
		v.hosted.host.spawn(v.compileMissing)
	}
}

// compileMissing compiles, one after the other, the modules whose compiled
// code an engine of another version made, so that no call has to wait for it.
func (v *view) compileMissing() {
	h := v.hosted.host
	compiled := h.engine.Compiled()
	used := map[string]bool{}
	if v.modules(used, map[backends.Key]bool{}); compiled == nil {
		return
	}
	for digest := range used {
		if compiled[digest] || h.ctx.Err() != nil {
			continue
		}
		wasm, err := h.modules.read(digest)
		if err == nil {
			err = h.engine.Compile(h.ctx, wasm)
		}
		if err != nil {
			h.log.Warn("module cannot be compiled", "digest", digest, "error", err)
		}
	}
}

// Set implements backends.Table.
func (v *view) Set(e backends.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.table.Set(v.adopt(e))
}

// Delete implements backends.Table.
func (v *view) Delete(key backends.Key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget(key)
	v.hosted.host.logs.remove(key)
	v.table.Delete(key)
}

// adopt takes what the backend says about a function and gives what the table
// is to hold.
func (v *view) adopt(e backends.Entry) backends.Entry {
	key := e.Status.Key
	if _, ok := moduleOf(e.Status.Function); !ok {
		v.forget(key)
		return e
	}
	f := v.functions[key]
	if f == nil {
		f = &function{view: v, key: key, sampled: time.Now()}
		v.functions[key] = f
	}
	return f.update(e)
}

// forget ends a function; the calls it has go on.
func (v *view) forget(key backends.Key) {
	if f := v.functions[key]; f != nil {
		f.gone = true
		f.park()
		delete(v.functions, key)
	}
}

// describe fills in the status of a function, false if it is not this one.
func (v *view) describe(s *backends.Status) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.functions[s.Key]
	if f == nil || f.entry.Status.Generation != s.Generation {
		return false
	}
	f.describe(s)
	return true
}

// warm loads a function that was deployed just now, while its compiled code is
// at hand, unless it is parked.
func (v *view) warm(key backends.Key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := v.functions[key]; f != nil && f.loading == nil && f.current.Load() == nil && f.entry.Status.Replicas > 0 {
		f.load()
	}
}

// settle waits until what is being loaded for a function is there.
func (v *view) settle(ctx context.Context, key backends.Key) {
	for {
		v.mu.Lock()
		f := v.functions[key]
		var loading chan struct{}
		if f != nil {
			loading = f.loading
		}
		v.mu.Unlock()
		if loading == nil {
			return
		}
		select {
		case <-loading:
		case <-ctx.Done():
			return
		}
	}
}

// secretChanged loads the functions anew that have a secret, and names them.
func (v *view) secretChanged(namespace, name string) []backends.Key {
	v.mu.Lock()
	defer v.mu.Unlock()
	var changed []backends.Key
	for key, f := range v.functions {
		if key.Namespace == namespace && slices.Contains(f.entry.Status.Secrets, name) {
			f.renew()
			changed = append(changed, key)
		}
	}
	return changed
}

// parkIdle frees what functions without calls hold.
func (v *view) parkIdle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.functions {
		f.parkIfIdle()
	}
}

// close ends all functions; the calls they have go on.
func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key := range v.functions {
		v.forget(key)
	}
}
