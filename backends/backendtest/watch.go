package backendtest

import (
	"context"
	"maps"

	"hearth/backends"
)

func (s *suite) canceled() {
	f := s.function("hello")
	s.must(s.Deploy(s.Context(), f))
	old := s.get(f.Key)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()

	changed := s.function("hello")
	changed.Env = nil
	_, getErr := s.Get(ctx, f.Key)
	_, listErr := s.List(ctx, "")
	for what, err := range map[string]error{
		"Deploy": s.Deploy(ctx, s.function("other")),
		"Update": s.Update(ctx, changed),
		"Scale":  s.Scale(ctx, f.Key, 7),
		"Delete": s.Delete(ctx, f.Key),
		"Get":    getErr,
		"List":   listErr,
		"Watch":  s.Watch(ctx, NewRecorder()),
	} {
		s.kind(what+" with an ended context", err, context.Canceled)
	}
	if p := s.Powers().Secrets; p != nil {
		s.kind("create secret with an ended context", p.Create(ctx, backends.Secret{Namespace: f.Namespace, Name: "a", Value: []byte("v")}), context.Canceled)
		names, err := p.List(s.Context(), f.Namespace)
		if s.must(err); len(names) != 0 {
			s.Errorf("an ended context made secrets %v", names)
		}
	}
	if list := s.all(); len(list) != 1 || list[0].Replicas != old.Replicas || list[0].Generation != old.Generation {
		s.Errorf("an ended context changed %v to %v", old, list)
	}
}

func (s *suite) watch() {
	first := s.function("first")
	s.must(s.Deploy(s.Context(), first))
	r := s.watched(s.Backend)
	s.shows(r, "the function that was there", func(m map[backends.Key]backends.Entry) bool {
		return len(m) == 1 && text(m[first.Key].Status.Function) == text(first)
	})

	f := s.function("hello")
	s.must(s.Deploy(s.Context(), f))
	s.shows(r, "the deployed function", func(m map[backends.Key]backends.Entry) bool {
		return len(m) == 2 && text(m[f.Key].Status.Function) == text(f) && m[f.Key].Status.Replicas == 1
	})
	generation := r.Entries()[f.Key].Status.Generation

	f.Env = map[string]string{"taste": "changed"}
	s.must(s.Update(s.Context(), f))
	s.shows(r, "the update", func(m map[backends.Key]backends.Entry) bool {
		return text(m[f.Key].Status.Function) == text(f) && m[f.Key].Status.Generation > generation
	})
	for _, n := range []int{3, 0, 2} {
		s.must(s.Scale(s.Context(), f.Key, n))
		s.shows(r, "the wanted replicas", func(m map[backends.Key]backends.Entry) bool {
			return m[f.Key].Status.Replicas == n
		})
	}
	s.must(s.Delete(s.Context(), f.Key))
	s.shows(r, "that the function is gone", func(m map[backends.Key]backends.Entry) bool {
		_, there := m[f.Key]
		return !there && len(m) == 1
	})
}

func (s *suite) watchMany() {
	early := s.watched(s.Backend)
	for _, name := range []string{"a", "b", "c"} {
		s.must(s.Deploy(s.Context(), s.function(name)))
	}
	late := s.watched(s.Backend)
	s.must(s.Delete(s.Context(), key("b")))
	s.must(s.Scale(s.Context(), key("c"), 5))
	for _, r := range []*Recorder{early, late} {
		s.agrees(r)
	}
}

// agrees asserts that a table comes to hold what the backend lists.
func (s *suite) agrees(r *Recorder) {
	s.Helper()
	want := map[backends.Key]backends.Status{}
	for _, status := range s.all() {
		want[status.Key] = status
	}
	s.shows(r, "what the backend lists", func(m map[backends.Key]backends.Entry) bool {
		return maps.EqualFunc(m, want, func(e backends.Entry, w backends.Status) bool {
			return e.Status.Replicas == w.Replicas && e.Status.Generation == w.Generation &&
				e.Status.Created.Equal(w.Created) && text(e.Status.Function) == text(w.Function)
		})
	})
}
