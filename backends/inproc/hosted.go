package inproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"hearth/backends"
	"hearth/backends/inproc/store"
)

// hosted is a backend whose functions may be modules.
type hosted struct {
	host  *Host
	inner backends.Backend

	mu    sync.Mutex
	views []*view
}

var _ backends.Backend = (*hosted)(nil)

// Deploy makes a function. A module is stored, checked, compiled and tried
// before the backend hears of it.
func (b *hosted) Deploy(ctx context.Context, f backends.Function) error {
	return b.accept(ctx, f, b.inner.Deploy, func(err error) error {
		if err == nil {
			return backends.Errorf(backends.ErrExists, "function %s already exists", f.Key)
		}
		if errors.Is(err, backends.ErrNotFound) {
			return nil
		}
		return err
	})
}

// Update replaces a function. It returns when the new one answers; one whose
// module cannot be used is refused, and the old one stays.
func (b *hosted) Update(ctx context.Context, f backends.Function) error {
	return b.accept(ctx, f, b.inner.Update, func(err error) error { return err })
}

// accept prepares a function and hands it on, if there, which is told what
// Get says about the function, agrees.
func (b *hosted) accept(ctx context.Context, f backends.Function, put func(context.Context, backends.Function) error, there func(error) error) error {
	key, err := backends.NewKey(f.Namespace, f.Name)
	if err != nil {
		return err
	}
	f.Key = key
	if err := f.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deploy %s: %w", key, err)
	}
	if _, err := b.inner.Get(ctx, key); there(err) != nil {
		return there(err)
	}
	f, release, err := b.prepare(ctx, f)
	if err != nil {
		return err
	}
	defer release()
	if err := put(ctx, f); err != nil {
		return err
	}
	if digest, ok := moduleOf(f); ok {
		if err := b.host.history.add(key, digest); err != nil {
			b.host.log.Warn("history of modules", "function", key, "error", err)
		}
	}
	for _, v := range b.tables() {
		v.warm(key)
	}
	b.settle(ctx, key)
	return nil
}

// prepare pins a function's image to a digest, if it is a module, and makes
// sure that it can be run. What it makes ready stays so until release.
func (b *hosted) prepare(ctx context.Context, f backends.Function) (_ backends.Function, release func(), err error) {
	f = f.Clone()
	delete(f.Labels, backends.KeyDigest) // the platform's word, not the client's
	delete(f.Annotations, backends.KeyDigest)
	if f.IsProgram() { // it is for the backend to say whether it may run
		if b.inner.Info().Orchestration != "local" {
			err = &backends.FieldError{Field: "image", Value: f.Image, Allowed: "programs of the machine run on the backend local alone"}
		}
		return f, func() {}, err
	}
	i, err := b.host.parseImage(f.Image)
	if err != nil {
		return f, nil, err
	}
	if !i.isModule() {
		if b.inner.Info().Orchestration == "local" {
			err = &backends.FieldError{Field: "image", Value: f.Image, Allowed: "a WebAssembly module (" + store.Prefix +
				"NAME, module@sha256:..., a path below --module-dir); containers run on the backends kubernetes and nomad (--backend)"}
		}
		return f, func() {}, err
	}
	wasm, digest, unpin, err := b.host.fetch(ctx, f.Image, i)
	if err != nil {
		return f, nil, err
	}
	trial, err := b.try(ctx, f, i.defaults, wasm)
	if err != nil {
		unpin()
		return f, nil, err
	}
	if f.Annotations == nil {
		f.Annotations = map[string]string{}
	}
	f.Annotations[backends.KeyDigest] = digest
	return f, func() { trial.Close(); unpin() }, nil
}

// try loads a module as the function will, so that what is wrong with it is
// said to whoever deploys it.
func (b *hosted) try(ctx context.Context, f backends.Function, d defaults, wasm []byte) (module, error) {
	if err := b.host.engine.Check(wasm); err != nil {
		return nil, fmt.Errorf("image %s: %w", f.Image, err)
	}
	spec, err := b.spec(ctx, f, d)
	if err != nil {
		return nil, err
	}
	if err := b.host.engine.Compile(ctx, wasm); err != nil {
		return nil, fmt.Errorf("image %s: %w", f.Image, err)
	}
	m, err := b.host.engine.Load(ctx, wasm, spec)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", f.Image, err)
	}
	return m, nil
}

// Delete removes a function; its log and what it has loaded go with it.
func (b *hosted) Delete(ctx context.Context, key backends.Key) error { return b.inner.Delete(ctx, key) }

// Scale sets the number of replicas.
func (b *hosted) Scale(ctx context.Context, key backends.Key, replicas int) error {
	return b.inner.Scale(ctx, key, replicas)
}

// Get gives a function's status; that of a module says whether it can answer.
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

// describe fills in what the Host knows about a module's status.
func (b *hosted) describe(s *backends.Status) {
	digest, ok := moduleOf(s.Function)
	if !ok {
		return
	}
	for _, v := range b.tables() {
		if v.describe(s) {
			return
		}
	}
	b.host.describe(s, digest)
}

// describe fills in the status of a function that nothing is known about but
// its module.
func (h *Host) describe(s *backends.Status, digest string) {
	s.Available, s.Problem = s.Replicas, ""
	if !h.modules.has(digest) {
		s.Available, s.Problem = 0, "module "+digest+" is not stored here: deploy the function again"
	}
}

// moduleOf gives the digest of the module that a function runs, false if it
// runs something else.
func moduleOf(f backends.Function) (digest string, ok bool) {
	digest = f.Annotations[backends.KeyDigest]
	return digest, isDigest(digest)
}

// logsHere tells whether what a function writes is kept in our logs.
func logsHere(f backends.Function) bool {
	_, ok := moduleOf(f)
	return ok || f.IsProgram()
}

// Info names the backend.
func (b *hosted) Info() backends.Info { return b.inner.Info() }

// Powers are the backend's own and those that come with modules.
func (b *hosted) Powers() backends.Powers {
	p := b.inner.Powers()
	if p.Secrets != nil {
		p.Secrets = secrets{p.Secrets, b}
	}
	p.Modules = modules{b.host}
	p.Store = storePower{}
	p.Logs = logs{p.Logs, b}
	p.Usage = usage{p.Usage, b}
	return p
}

// Watch feeds a table, with a Handler for every module. When it ends, what is
// in the table goes on to answer, until Close or until the same table is
// watched for again.
func (b *hosted) Watch(ctx context.Context, t backends.Table) error {
	v := b.view(t)
	defer v.leave()
	return b.inner.Watch(ctx, v)
}

// view gives the wrapper of a table, that of an earlier watch if there was one.
func (b *hosted) view(t backends.Table) *view {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.views {
		if v.table == t && v.enter() {
			return v
		}
	}
	v := &view{hosted: b, table: t, watched: true, functions: map[backends.Key]*function{}}
	b.views = append(b.views, v)
	return v
}

func (b *hosted) tables() []*view {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.views[:len(b.views):len(b.views)]
}

// settle waits until what is being loaded for a function is there, or ctx ends.
func (b *hosted) settle(ctx context.Context, key backends.Key) {
	for _, v := range b.tables() {
		v.settle(ctx, key)
	}
}

func (b *hosted) parkIdle() {
	for _, v := range b.tables() {
		v.parkIdle()
	}
}

func (b *hosted) close() {
	for _, v := range b.tables() {
		v.close()
	}
}

// modules is the power to store modules.
type modules struct{ host *Host }

// accepts says whether a module can be a function and has room.
func (h *Host) accepts(wasm []byte) error {
	if err := h.engine.Check(wasm); err != nil {
		return err
	}
	if h.modules.has(digestOf(wasm)) {
		return nil
	}
	return h.room(int64(len(wasm)))
}

// Put stores a module that can be a function.
func (m modules) Put(ctx context.Context, r io.Reader) (backends.Module, error) {
	return m.host.modules.put(ctx, r, m.host.accepts)
}
