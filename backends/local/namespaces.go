package local

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"hearth/backends"
)

// namespaceFile is the content of a namespace's file.
type namespaceFile struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func namespaceName(name string) string { return name + ".json" }

// takeNamespace reads a namespace's file.
func (l *Local) takeNamespace(name string, text []byte) error {
	var file namespaceFile
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	if err := backends.ValidateName("namespace", file.Name); err != nil {
		return err
	}
	if name != namespaceName(file.Name) {
		return fmt.Errorf("it holds namespace %s", file.Name)
	}
	l.namespaces[file.Name] = backends.Namespace(file)
	return nil
}

// restoreNamespaces gives back, without labels, the namespaces whose files are
// lost but whose functions or secrets are not.
func (l *Local) restoreNamespaces() {
	used := map[string]struct{}{}
	for key := range l.functions {
		used[key.Namespace] = struct{}{}
	}
	for key := range l.secrets {
		used[key.namespace] = struct{}{}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if _, ok := l.namespaces[name]; !ok {
			l.log.Warn("the file of a namespace in use is missing; it has no labels now", "namespace", name)
			l.namespaces[name] = backends.Namespace{Name: name}
		}
	}
}

// namespaces is the backends.Namespaces of a Local.
type namespaces struct{ *Local }

func (l namespaces) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Sorted(maps.Keys(l.namespaces)), nil
}

func (l namespaces) Get(ctx context.Context, name string) (backends.Namespace, error) {
	if err := ctx.Err(); err != nil {
		return backends.Namespace{}, fmt.Errorf("get namespace %s: %w", name, err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	n, ok := l.namespaces[name]
	if !ok {
		return backends.Namespace{}, unknownNamespace(name)
	}
	return cloneNamespace(n), nil
}

func (l namespaces) Create(ctx context.Context, n backends.Namespace) error {
	return l.write(ctx, "create", n, func() error {
		if _, ok := l.namespaces[n.Name]; ok {
			return backends.Errorf(backends.ErrExists, "namespace %s already exists", n.Name)
		}
		return nil
	})
}

func (l namespaces) Update(ctx context.Context, n backends.Namespace) error {
	return l.write(ctx, "update", n, func() error { return l.known(n.Name) })
}

// known is ErrNotFound unless there is such a namespace; part of a change.
func (l namespaces) known(name string) error {
	if _, ok := l.namespaces[name]; !ok {
		return unknownNamespace(name)
	}
	return nil
}

// write stores a namespace if allowed says so.
func (l namespaces) write(ctx context.Context, verb string, n backends.Namespace, allowed func() error) error {
	if err := backends.ValidateName("namespace", n.Name); err != nil {
		return err
	}
	if _, err := backends.ParseNamespace(n.Name); err != nil {
		return err
	}
	n = cloneNamespace(n)
	text, err := json.MarshalIndent(namespaceFile(n), "", "  ")
	if err != nil {
		return err
	}
	return l.change(ctx, verb+" namespace "+n.Name, func() error {
		if err := allowed(); err != nil {
			return err
		}
		done, err := l.store.write(kindNamespace, namespaceName(n.Name), append(text, '\n'))
		if done {
			l.mu.Lock()
			l.namespaces[n.Name] = n
			l.mu.Unlock()
		}
		return err
	})
}

// Delete removes a namespace that has neither functions nor secrets.
func (l namespaces) Delete(ctx context.Context, name string) error {
	if name == backends.DefaultNamespace {
		return &backends.FieldError{Field: "namespace", Value: name, Allowed: "any but the default one"}
	}
	return l.change(ctx, "delete namespace "+name, func() error {
		if err := l.known(name); err != nil {
			return err
		}
		for key := range l.functions {
			if key.Namespace == name {
				return backends.Errorf(backends.ErrConflict, "namespace %s has functions, such as %s: delete them first", name, key.Name)
			}
		}
		for key := range l.secrets {
			if key.namespace == name {
				return backends.Errorf(backends.ErrConflict, "namespace %s has secrets, such as %s: delete them first", name, key.name)
			}
		}
		done, err := l.store.remove(kindNamespace, namespaceName(name))
		if done {
			l.mu.Lock()
			delete(l.namespaces, name)
			l.mu.Unlock()
		}
		return err
	})
}

func cloneNamespace(n backends.Namespace) backends.Namespace {
	n.Labels, n.Annotations = maps.Clone(n.Labels), maps.Clone(n.Annotations)
	return n
}

func unknownNamespace(name string) error {
	return backends.Errorf(backends.ErrNotFound, "namespace %s not found", name)
}
