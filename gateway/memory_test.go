package gateway

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"hearth/backends"
)

// memoryBackend keeps everything in maps: a backend with every power whose
// clock stands still, so that its answers can be compared byte by byte.
type memoryBackend struct {
	mu         sync.Mutex
	functions  map[backends.Key]backends.Status
	secretsOf  map[string]map[string][]byte
	namespaces map[string]backends.Namespace
	lines      []backends.LogLine
	more       chan backends.LogLine // what a follower gets; nil: it waits for ctx
	logError   error                 // instead of the first line
	modules    map[string][]byte
	store      []backends.StoreFunction
	bare       bool  // without any power
	broken     error // what every method of Backend returns, if not nil
}

// created is the time at which memoryBackend makes everything.
var created = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func newMemoryBackend() *memoryBackend {
	return &memoryBackend{
		functions: map[backends.Key]backends.Status{},
		secretsOf: map[string]map[string][]byte{},
		namespaces: map[string]backends.Namespace{
			backends.DefaultNamespace: {Name: backends.DefaultNamespace},
		},
		modules: map[string][]byte{},
	}
}

func (m *memoryBackend) Info() backends.Info {
	return backends.Info{Name: "hearth-memory", Orchestration: "memory"}
}

func (m *memoryBackend) Powers() backends.Powers {
	if m.bare {
		return backends.Powers{}
	}
	return backends.Powers{
		Secrets: memorySecrets{m}, Namespaces: memoryNamespaces{m}, Logs: m, Usage: m,
		Modules: m, Store: m,
	}
}

func (m *memoryBackend) Deploy(_ context.Context, f backends.Function) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(f); err != nil {
		return err
	}
	if _, ok := m.functions[f.Key]; ok {
		return backends.Errorf(backends.ErrExists, "function %s already exists", f.Key)
	}
	m.put(f, 1)
	return nil
}

func (m *memoryBackend) Update(_ context.Context, f backends.Function) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.functions[f.Key]
	if !ok {
		return m.unknown(f.Key)
	}
	if err := m.check(f); err != nil {
		return err
	}
	m.put(f, old.Replicas)
	return nil
}

// check finds what f names and is not there.
func (m *memoryBackend) check(f backends.Function) error {
	if m.broken != nil {
		return m.broken
	}
	if _, ok := m.namespaces[f.Namespace]; !ok {
		return backends.Errorf(backends.ErrNotFound, "namespace %s not found", f.Namespace)
	}
	for _, name := range f.Secrets {
		if _, ok := m.secretsOf[f.Namespace][name]; !ok {
			return backends.Errorf(backends.ErrNotFound, "secret %s not found in namespace %s", name, f.Namespace)
		}
	}
	return nil
}

func (m *memoryBackend) put(f backends.Function, replicas int) {
	if p, _ := backends.ScalePolicyOf(f, backends.DefaultScale); replicas < p.Min && replicas > 0 {
		replicas = p.Min
	}
	m.functions[f.Key] = backends.Status{Function: f.Clone(), Replicas: replicas, Available: replicas, Created: created}
}

func (m *memoryBackend) unknown(key backends.Key) error {
	return backends.Errorf(backends.ErrNotFound, "function %s not found", key)
}

func (m *memoryBackend) Delete(_ context.Context, key backends.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.functions[key]; !ok {
		return m.unknown(key)
	}
	delete(m.functions, key)
	return m.broken
}

func (m *memoryBackend) Get(_ context.Context, key backends.Key) (backends.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	status, ok := m.functions[key]
	if !ok {
		return status, m.unknown(key)
	}
	return status, m.broken
}

func (m *memoryBackend) List(_ context.Context, namespace string) ([]backends.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []backends.Status
	for key, status := range m.functions {
		if namespace == "" || namespace == key.Namespace {
			list = append(list, status)
		}
	}
	backends.SortStatuses(list)
	return list, m.broken
}

func (m *memoryBackend) Scale(_ context.Context, key backends.Key, replicas int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	status, ok := m.functions[key]
	if !ok {
		return m.unknown(key)
	}
	status.Replicas, status.Available = replicas, replicas
	m.functions[key] = status
	return m.broken
}

func (m *memoryBackend) Watch(ctx context.Context, t backends.Table) error {
	t.Replace(nil)
	<-ctx.Done()
	return ctx.Err()
}

func (m *memoryBackend) Usage(_ context.Context, key backends.Key) (backends.Usage, error) {
	if _, err := m.Get(context.Background(), key); err != nil {
		return backends.Usage{}, err
	}
	return backends.Usage{MilliCPU: 12.5, MemoryBytes: 1 << 20}, nil
}

func (m *memoryBackend) Logs(ctx context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	return func(yield func(backends.LogLine, error) bool) {
		if m.logError != nil {
			yield(backends.LogLine{}, m.logError)
			return
		}
		var lines []backends.LogLine
		for _, l := range m.lines {
			if l.Key == q.Key && (q.Instance == "" || q.Instance == l.Instance) && !l.Time.Before(q.Since) {
				lines = append(lines, l)
			}
		}
		if q.Tail > 0 && q.Tail < len(lines) {
			lines = lines[len(lines)-q.Tail:]
		}
		for _, l := range lines {
			if !yield(l, nil) {
				return
			}
		}
		for q.Follow {
			select {
			case l, ok := <-m.more:
				if !ok {
					yield(backends.LogLine{}, fmt.Errorf("disk on fire"))
					return
				}
				if !yield(l, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (m *memoryBackend) Put(_ context.Context, r io.Reader) (backends.Module, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return backends.Module{}, fmt.Errorf("put module: %w", err)
	}
	if len(b) < 4 || string(b[:4]) != "\x00asm" {
		return backends.Module{}, backends.Errorf(backends.ErrInvalid, "not a WebAssembly module")
	}
	digest := fmt.Sprintf("sha256:%064x", len(b))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.modules[digest] = b
	return backends.Module{Image: "module@" + digest, Digest: digest, Size: int64(len(b))}, nil
}

func (m *memoryBackend) StoreFunctions() []backends.StoreFunction { return m.store }

type memorySecrets struct{ *memoryBackend }

func (m memorySecrets) List(_ context.Context, namespace string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.secretsOf[namespace])), nil
}

func (m memorySecrets) Create(_ context.Context, s backends.Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.namespaces[s.Namespace]; !ok {
		return backends.Errorf(backends.ErrNotFound, "namespace %s not found", s.Namespace)
	}
	if _, ok := m.secretsOf[s.Namespace][s.Name]; ok {
		return backends.Errorf(backends.ErrExists, "secret %s already exists", s.Name)
	}
	if m.secretsOf[s.Namespace] == nil {
		m.secretsOf[s.Namespace] = map[string][]byte{}
	}
	m.secretsOf[s.Namespace][s.Name] = s.Value
	return nil
}

func (m memorySecrets) Update(_ context.Context, s backends.Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.secretsOf[s.Namespace][s.Name]; !ok {
		return backends.Errorf(backends.ErrNotFound, "secret %s not found", s.Name)
	}
	m.secretsOf[s.Namespace][s.Name] = s.Value
	return nil
}

func (m memorySecrets) Delete(_ context.Context, namespace, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.secretsOf[namespace][name]; !ok {
		return backends.Errorf(backends.ErrNotFound, "secret %s not found", name)
	}
	delete(m.secretsOf[namespace], name)
	return nil
}

func (m memorySecrets) Read(_ context.Context, namespace, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.secretsOf[namespace][name]
	if !ok {
		return nil, backends.Errorf(backends.ErrNotFound, "secret %s not found", name)
	}
	return value, nil
}

type memoryNamespaces struct{ *memoryBackend }

func (m memoryNamespaces) List(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.namespaces)), nil
}

func (m memoryNamespaces) Get(_ context.Context, name string) (backends.Namespace, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.namespaces[name]
	if !ok {
		return n, backends.Errorf(backends.ErrNotFound, "namespace %s not found", name)
	}
	return n, nil
}

func (m memoryNamespaces) Create(_ context.Context, n backends.Namespace) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.namespaces[n.Name]; ok {
		return backends.Errorf(backends.ErrExists, "namespace %s already exists", n.Name)
	}
	m.namespaces[n.Name] = n
	return nil
}

func (m memoryNamespaces) Update(_ context.Context, n backends.Namespace) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.namespaces[n.Name]; !ok {
		return backends.Errorf(backends.ErrNotFound, "namespace %s not found", n.Name)
	}
	m.namespaces[n.Name] = n
	return nil
}

func (m memoryNamespaces) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.namespaces[name]; !ok {
		return backends.Errorf(backends.ErrNotFound, "namespace %s not found", name)
	}
	for key := range m.functions {
		if key.Namespace == name {
			return backends.Errorf(backends.ErrConflict, "namespace %s has functions", name)
		}
	}
	delete(m.namespaces, name)
	return nil
}
