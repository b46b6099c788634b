package inproc

import (
	"context"
	"iter"

	"hearth/backends"
	"hearth/backends/inproc/store"
)

// storePower is the power to list the embedded store.
type storePower struct{}

// StoreFunctions gives the store's functions.
func (storePower) StoreFunctions() []backends.StoreFunction {
	entries := store.NewDocument().Functions
	list := make([]backends.StoreFunction, len(entries))
	for i, e := range entries {
		list[i] = backends.StoreFunction{
			Title: e.Title, Name: e.Name, Description: e.Description, Author: e.Author, Images: e.Images, Fprocess: e.Process,
			RepoURL: e.RepoURL, Environment: e.Environment, Labels: e.Labels, Annotations: e.Annotations,
		}
	}
	return list
}

// logs is the power to read logs: ours of modules, the backend's of the rest.
type logs struct {
	inner  backends.Logs // nil if the backend has none
	hosted *hosted
}

// Logs reads what a function wrote.
func (l logs) Logs(ctx context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	return func(yield func(backends.LogLine, error) bool) {
		s, err := l.hosted.inner.Get(ctx, q.Key)
		if err != nil {
			yield(backends.LogLine{}, err)
			return
		}
		switch {
		case logsHere(s.Function):
			l.hosted.host.logs.of(q.Key).lines(ctx, q)(yield)
		case l.inner != nil:
			l.inner.Logs(ctx, q)(yield)
		default:
			yield(backends.LogLine{}, backends.Errorf(backends.ErrUnsupported, "the backend %s has no logs", l.hosted.inner.Info().Name))
		}
	}
}

// secrets is a backend's secrets; a change reaches the functions that have the
// secret before the call that made it returns.
type secrets struct {
	backends.Secrets
	hosted *hosted
}

func (s secrets) Create(ctx context.Context, secret backends.Secret) error {
	err := s.Secrets.Create(ctx, secret)
	return s.changed(ctx, secret.Namespace, secret.Name, err)
}

func (s secrets) Update(ctx context.Context, secret backends.Secret) error {
	err := s.Secrets.Update(ctx, secret)
	return s.changed(ctx, secret.Namespace, secret.Name, err)
}

// Delete removes a secret. Functions that have it keep it until they are
// loaded anew, as a container does.
func (s secrets) Delete(ctx context.Context, namespace, name string) error {
	err := s.Secrets.Delete(ctx, namespace, name)
	return s.changed(ctx, namespace, name, err)
}

func (s secrets) changed(ctx context.Context, namespace, name string, err error) error {
	if err != nil {
		return err
	}
	if namespace == "" {
		namespace = backends.DefaultNamespace
	}
	for _, v := range s.hosted.tables() {
		for _, key := range v.secretChanged(namespace, name) {
			v.settle(ctx, key)
		}
	}
	return nil
}
