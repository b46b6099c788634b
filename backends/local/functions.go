package local

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"hearth/backends"
)

// functionFile is the content of a function's file.
type functionFile struct {
	Function   backends.FunctionDeployment `json:"function"`
	Replicas   int                         `json:"replicas"`
	Created    time.Time                   `json:"created"`
	Generation int64                       `json:"generation"`
}

func functionName(key backends.Key) string { return key.String() + ".json" }

// takeFunction reads a function's file. One that was allowed by another version
// of Hearth and is not by this one is kept: losing it would be worse.
func (l *Local) takeFunction(name string, text []byte) error {
	var file functionFile
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	f, invalid := file.Function.Function()
	key, err := backends.NewKey(f.Namespace, f.Name)
	if err != nil {
		return err
	}
	if name != functionName(key) {
		return fmt.Errorf("it holds function %s", key)
	}
	if file.Replicas < 0 || file.Replicas > backends.MaxReplicas || file.Generation < 1 {
		return fmt.Errorf("replicas %d or generation %d cannot be", file.Replicas, file.Generation)
	}
	if invalid != nil {
		l.log.Warn("a stored function would not be accepted now", "function", key.String(), "error", invalid)
	}
	l.functions[key] = backends.Status{
		Function: f, Replicas: file.Replicas, Available: file.Replicas,
		Created: file.Created, Generation: file.Generation,
	}
	return nil
}

// Deploy stores a new function with as many replicas as its policy begins with.
func (l *Local) Deploy(ctx context.Context, f backends.Function) error {
	return l.accept(ctx, "deploy", f, func(f backends.Function, policy backends.ScalePolicy) error {
		if _, ok := l.functions[f.Key]; ok {
			return backends.Errorf(backends.ErrExists, "function %s already exists", f.Key)
		}
		return l.put(backends.Status{
			Function:   f,
			Replicas:   min(max(policy.Initial, policy.Min), policy.Max),
			Created:    time.Now().UTC().Truncate(time.Second),
			Generation: 1,
		})
	})
}

// Update replaces a function. Its replicas stay, within what the new labels
// allow; at zero it stays parked.
func (l *Local) Update(ctx context.Context, f backends.Function) error {
	return l.accept(ctx, "update", f, func(f backends.Function, policy backends.ScalePolicy) error {
		old, ok := l.functions[f.Key]
		if !ok {
			return unknownFunction(f.Key)
		}
		s := backends.Status{Function: f, Created: old.Created, Generation: old.Generation + 1}
		if old.Replicas > 0 {
			s.Replicas = min(max(old.Replicas, policy.Min), policy.Max)
		}
		return l.put(s)
	})
}

// accept checks a function and runs store with a copy of it as a change.
func (l *Local) accept(ctx context.Context, verb string, f backends.Function, store func(backends.Function, backends.ScalePolicy) error) error {
	key, err := backends.NewKey(f.Namespace, f.Name)
	if err != nil {
		return err
	}
	f.Key = key
	if err := f.Validate(); err != nil {
		return err
	}
	policy, err := backends.ScalePolicyOf(f, backends.DefaultScale)
	if err != nil {
		return err
	}
	f = f.Clone()
	return l.change(ctx, verb+" "+key.String(), func() error {
		if _, ok := l.namespaces[f.Namespace]; !ok {
			return unknownNamespace(f.Namespace)
		}
		for _, name := range f.Secrets {
			if _, ok := l.secrets[secretKey{f.Namespace, name}]; !ok {
				return unknownSecret(f.Namespace, name)
			}
		}
		return store(f, policy)
	})
}

// put stores a status and tells the watchers, as part of a change.
func (l *Local) put(s backends.Status) error {
	s.Available = s.Replicas
	text, err := json.MarshalIndent(functionFile{
		Function: s.Function.Deployment(), Replicas: s.Replicas, Created: s.Created, Generation: s.Generation,
	}, "", "  ")
	if err != nil {
		return err
	}
	done, err := l.store.write(kindFunction, functionName(s.Key), append(text, '\n'))
	if done {
		l.mu.Lock()
		l.functions[s.Key] = s
		l.mu.Unlock()
		l.publish(func(t backends.Table) { t.Set(entry(s)) })
	}
	return err
}

// Delete removes a function.
func (l *Local) Delete(ctx context.Context, key backends.Key) error {
	return l.change(ctx, "delete "+key.String(), func() error {
		if _, ok := l.functions[key]; !ok {
			return unknownFunction(key)
		}
		done, err := l.store.remove(kindFunction, functionName(key))
		if done {
			l.mu.Lock()
			delete(l.functions, key)
			l.mu.Unlock()
			l.publish(func(t backends.Table) { t.Delete(key) })
		}
		return err
	})
}

// Scale sets the number of replicas. The generation stays.
func (l *Local) Scale(ctx context.Context, key backends.Key, replicas int) error {
	if replicas < 0 || replicas > backends.MaxReplicas {
		return &backends.FieldError{Field: "replicas", Value: fmt.Sprint(replicas), Allowed: fmt.Sprintf("a whole number from 0 to %d", backends.MaxReplicas)}
	}
	return l.change(ctx, "scale "+key.String(), func() error {
		s, ok := l.functions[key]
		if !ok {
			return unknownFunction(key)
		}
		if s.Replicas == replicas {
			return nil
		}
		s.Replicas = replicas
		return l.put(s)
	})
}

// Get gives a copy of a function's status.
func (l *Local) Get(ctx context.Context, key backends.Key) (backends.Status, error) {
	if err := ctx.Err(); err != nil {
		return backends.Status{}, fmt.Errorf("get %s: %w", key, err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	s, ok := l.functions[key]
	if !ok {
		return backends.Status{}, unknownFunction(key)
	}
	s.Function = s.Function.Clone()
	return s, nil
}

// List gives copies of the statuses of one namespace or of all.
func (l *Local) List(ctx context.Context, namespace string) ([]backends.Status, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list functions: %w", err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	var list []backends.Status
	for key, s := range l.functions {
		if namespace == "" || namespace == key.Namespace {
			s.Function = s.Function.Clone()
			list = append(list, s)
		}
	}
	backends.SortStatuses(list)
	return list, nil
}

func unknownFunction(key backends.Key) error {
	return backends.Errorf(backends.ErrNotFound, "function %s not found", key)
}
