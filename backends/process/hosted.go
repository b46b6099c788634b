package process

import (
	"context"
	"sync"

	"hearth/backends"
)

// hosted is a backend whose functions may be programs.
type hosted struct {
	host  *Host
	inner backends.Backend

	// mu guards all below, all of the programs and the states of their
	// replicas. It is held while tables are told something, so that each sees
	// one order.
	mu       sync.Mutex
	views    map[*view]bool
	programs map[backends.Key]*program
}

var _ backends.Backend = (*hosted)(nil)

// Deploy makes a function. ErrInvalid for a program that may not or cannot run.
func (b *hosted) Deploy(ctx context.Context, f backends.Function) error {
	if err := b.host.accepts(f); err != nil {
		return err
	}
	return b.inner.Deploy(ctx, f)
}

// Update replaces a function. The replicas of the one before answer until
// those of the new one are ready.
func (b *hosted) Update(ctx context.Context, f backends.Function) error {
	if err := b.host.accepts(f); err != nil {
		return err
	}
	return b.inner.Update(ctx, f)
}

// Delete removes a function and ends its program.
func (b *hosted) Delete(ctx context.Context, key backends.Key) error { return b.inner.Delete(ctx, key) }

// Scale sets the number of replicas.
func (b *hosted) Scale(ctx context.Context, key backends.Key, replicas int) error {
	return b.inner.Scale(ctx, key, replicas)
}

// Get gives a function's status; that of a program says how many can answer.
func (b *hosted) Get(ctx context.Context, key backends.Key) (backends.Status, error) {
	s, err := b.inner.Get(ctx, key)
	if err == nil {
		b.describe(&s)
	}
	return s, err
}

// List gives the statuses of a namespace, or of all.
func (b *hosted) List(ctx context.Context, namespace string) ([]backends.Status, error) {
	list, err := b.inner.List(ctx, namespace)
	for i := range list {
		b.describe(&list[i])
	}
	return list, err
}

func (b *hosted) describe(s *backends.Status) {
	if !s.IsProgram() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.programs[s.Key]; p != nil {
		p.describe(s)
		return
	}
	s.Available, s.Problem = 0, b.host.refusal()
}

// Info names the backend.
func (b *hosted) Info() backends.Info { return b.inner.Info() }

// Powers are the backend's own; a secret that changes reaches the programs.
func (b *hosted) Powers() backends.Powers {
	p := b.inner.Powers()
	if p.Secrets != nil {
		p.Secrets = secrets{p.Secrets, b}
	}
	return p
}

// Watch feeds a table, with the ready replicas of every program as endpoints.
// The programs go on when it ends, until Close.
func (b *hosted) Watch(ctx context.Context, t backends.Table) error {
	v := &view{hosted: b, table: t, entries: map[backends.Key]backends.Entry{}}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.views, v)
	}()
	return b.inner.Watch(ctx, v)
}

// view stands between the backend's watch and a table.
type view struct {
	hosted  *hosted
	table   backends.Table
	entries map[backends.Key]backends.Entry // of programs, as the backend gave them
}

// Replace implements backends.Table.
func (v *view) Replace(entries []backends.Entry) {
	b := v.hosted
	b.mu.Lock()
	defer b.mu.Unlock()
	b.views[v] = true
	clear(v.entries)
	shown := make([]backends.Entry, len(entries))
	for i, e := range entries {
		shown[i] = v.adopt(e)
	}
	for key, p := range b.programs {
		if _, ok := v.entries[key]; !ok {
			p.end()
		}
	}
	v.table.Replace(shown)
	b.retire()
}

// Set implements backends.Table.
func (v *view) Set(e backends.Entry) {
	v.hosted.mu.Lock()
	defer v.hosted.mu.Unlock()
	v.table.Set(v.adopt(e))
	v.hosted.retire()
}

// Delete implements backends.Table.
func (v *view) Delete(key backends.Key) {
	b := v.hosted
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(v.entries, key)
	if p := b.programs[key]; p != nil {
		p.end()
	}
	v.table.Delete(key)
	b.retire()
}

// adopt takes what the backend says about a function and gives what the table
// is to hold.
func (v *view) adopt(e backends.Entry) backends.Entry {
	b, key := v.hosted, e.Status.Key
	p := b.programs[key]
	if !e.Status.IsProgram() {
		delete(v.entries, key)
		if p != nil {
			p.end()
		}
		return e
	}
	v.entries[key] = e
	if p == nil {
		p = &program{hosted: b, key: key}
		b.programs[key] = p
	}
	p.update(e.Status)
	return p.shown(e)
}

// retire ends the replicas that no table gives calls to any more.
func (b *hosted) retire() {
	for key, p := range b.programs {
		for _, r := range p.leaving {
			r.cancel()
		}
		p.leaving = nil
		if p.gone {
			delete(b.programs, key)
		}
	}
}
