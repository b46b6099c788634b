package backendtest

import (
	"slices"
	"strings"
	"time"

	"hearth/backends"
)

func (s *suite) deploy() {
	before := time.Now().Add(-time.Minute)
	f := s.function("hello")
	s.must(s.Deploy(s.Context(), f))
	got := s.get(f.Key)
	s.same(got, f)
	if got.Replicas != 1 {
		s.Errorf("replicas are %d; want 1", got.Replicas)
	}
	if got.Generation < 1 {
		s.Errorf("generation is %d; want at least 1", got.Generation)
	}
	if got.Created.Before(before) || got.Created.After(time.Now().Add(time.Minute)) {
		s.Errorf("created at %v; want about now", got.Created)
	}
	s.kind("a second Deploy", s.Deploy(s.Context(), s.function("hello")), backends.ErrExists)
	s.same(s.get(f.Key), f)

	if info := s.Info(); info.Name == "" || info.Orchestration == "" {
		s.Errorf("Info gave %+v; want a name and an orchestration", info)
	}
}

func (s *suite) deployReplicas() {
	for name, c := range map[string]struct {
		labels map[string]string
		want   int
	}{
		"plain":    {nil, 1},
		"min-3":    {map[string]string{backends.LabelScaleMin: "3"}, 3},
		"min-25":   {map[string]string{backends.LabelScaleMin: "25"}, 25}, // above the default maximum
		"max-1":    {map[string]string{backends.LabelScaleMax: "1"}, 1},
		"initial":  {map[string]string{backends.KeyScaleInitial: "4"}, 4},
		"too-many": {map[string]string{backends.KeyScaleInitial: "40", backends.LabelScaleMax: "6"}, 6},
		"too-few":  {map[string]string{backends.KeyScaleInitial: "1", backends.LabelScaleMin: "3"}, 3},
		"may-zero": {map[string]string{backends.LabelScaleZero: "true"}, 1},
	} {
		f := s.function(name)
		f.Labels = c.labels
		s.must(s.Deploy(s.Context(), f))
		if got := s.get(f.Key).Replicas; got != c.want {
			s.Errorf("%s begins with %d replicas; want %d", name, got, c.want)
		}
	}
}

func (s *suite) deployRefused() {
	for what, c := range map[string]struct {
		spoil func(*backends.Function)
		want  error
	}{
		"no image":            {func(f *backends.Function) { f.Image = "" }, backends.ErrInvalid},
		"a broken label":      {func(f *backends.Function) { f.Labels[backends.LabelScaleMin] = "-1" }, backends.ErrInvalid},
		"an unknown key":      {func(f *backends.Function) { f.Annotations["com.hearth.tymeout"] = "1s" }, backends.ErrInvalid},
		"a broken quantity":   {func(f *backends.Function) { f.Limits.Memory = "lots" }, backends.ErrInvalid},
		"a NUL in a variable": {func(f *backends.Function) { f.Env["a"] = "x\x00y" }, backends.ErrInvalid},
		"an unknown namespace": {func(f *backends.Function) { f.Namespace = "nowhere" },
			backends.ErrNotFound},
		"the cluster's namespace": {func(f *backends.Function) { f.Namespace = "kube-system" },
			backends.ErrInvalid},
	} {
		f := s.function("hello")
		c.spoil(&f)
		s.kind("Deploy with "+what, s.Deploy(s.Context(), f), c.want)
		if list := s.all(); len(list) != 0 {
			s.Fatalf("Deploy with %s left %v", what, list)
		}
	}
}

func (s *suite) update() {
	f := s.function("hello")
	s.must(s.Deploy(s.Context(), f))
	s.must(s.Scale(s.Context(), f.Key, 4))
	old := s.get(f.Key)

	f.Env = map[string]string{"taste": "changed"}
	f.Labels, f.Limits, f.Process = nil, nil, "wc"
	s.must(s.Update(s.Context(), f))
	got := s.get(f.Key)
	s.same(got, f)
	if got.Replicas != 4 {
		s.Errorf("replicas are %d after an update; want 4 as before", got.Replicas)
	}
	if !got.Created.Equal(old.Created) {
		s.Errorf("created at %v after an update; want %v as before", got.Created, old.Created)
	}
	if got.Generation <= old.Generation {
		s.Errorf("generation is %d after an update; want more than %d", got.Generation, old.Generation)
	}

	for _, c := range []struct{ scale, min, max, want string }{
		{"2", "3", "", "3"},
		{"5", "3", "", "5"},
		{"5", "", "2", "2"},
		{"0", "3", "", "0"}, // parked, and an update does not wake it
	} {
		s.must(s.Scale(s.Context(), f.Key, int(c.scale[0]-'0')))
		f.Labels = map[string]string{}
		if c.min != "" {
			f.Labels[backends.LabelScaleMin] = c.min
		}
		if c.max != "" {
			f.Labels[backends.LabelScaleMax] = c.max
		}
		s.must(s.Update(s.Context(), f))
		if got := s.get(f.Key).Replicas; got != int(c.want[0]-'0') {
			s.Errorf("an update to min %q, max %q makes %s replicas %d; want %s", c.min, c.max, c.scale, got, c.want)
		}
	}
}

func (s *suite) updateRefused() {
	absent := s.function("absent")
	s.kind("Update of an absent function", s.Update(s.Context(), absent), backends.ErrNotFound)
	if list := s.all(); len(list) != 0 {
		s.Fatalf("Update of an absent function made %v", list)
	}
	f := s.function("hello")
	s.must(s.Deploy(s.Context(), f))
	old := s.get(f.Key)
	bad := s.function("hello")
	bad.Labels = map[string]string{backends.LabelScaleMax: "many"}
	s.kind("Update with a broken label", s.Update(s.Context(), bad), backends.ErrInvalid)
	got := s.get(f.Key)
	s.same(got, f)
	if got.Generation != old.Generation {
		s.Errorf("generation is %d after a refused update; want %d as before", got.Generation, old.Generation)
	}
}

func (s *suite) delete() {
	f := s.function("hello")
	s.kind("Delete of an absent function", s.Delete(s.Context(), f.Key), backends.ErrNotFound)
	s.must(s.Deploy(s.Context(), f))
	s.must(s.Deploy(s.Context(), s.function("other")))
	s.must(s.Delete(s.Context(), f.Key))
	_, err := s.Get(s.Context(), f.Key)
	s.kind("Get of a deleted function", err, backends.ErrNotFound)
	s.kind("Scale of a deleted function", s.Scale(s.Context(), f.Key, 1), backends.ErrNotFound)
	s.kind("Update of a deleted function", s.Update(s.Context(), f), backends.ErrNotFound)
	s.kind("a second Delete", s.Delete(s.Context(), f.Key), backends.ErrNotFound)
	if list := s.all(); len(list) != 1 || list[0].Name != "other" {
		s.Errorf("List gave %v; want other alone", list)
	}
	s.must(s.Deploy(s.Context(), f))
	s.same(s.get(f.Key), f)
}

func (s *suite) scale() {
	f := s.function("hello")
	s.kind("Scale of an absent function", s.Scale(s.Context(), f.Key, 1), backends.ErrNotFound)
	s.must(s.Deploy(s.Context(), f))
	generation := s.get(f.Key).Generation
	for _, n := range []int{3, 3, 0, 0, 1, 50} {
		s.must(s.Scale(s.Context(), f.Key, n))
		got := s.get(f.Key)
		if got.Replicas != n {
			s.Errorf("replicas are %d; want %d", got.Replicas, n)
		}
		if got.Generation != generation {
			s.Errorf("generation is %d after scaling; want %d: the function is the same", got.Generation, generation)
		}
	}
	for _, n := range []int{-1, backends.MaxReplicas + 1} {
		s.kind("Scale out of bounds", s.Scale(s.Context(), f.Key, n), backends.ErrInvalid)
	}
	if got := s.get(f.Key).Replicas; got != 50 {
		s.Errorf("replicas are %d after refused calls; want 50", got)
	}
	s.same(s.get(f.Key), f)
}

func (s *suite) list() {
	var want []string
	spaces := []string{backends.DefaultNamespace}
	if p := s.Powers().Namespaces; p != nil {
		s.must(p.Create(s.Context(), backends.Namespace{Name: "alpha", Labels: map[string]string{"openfaas": "1"}}))
		spaces = append([]string{"alpha"}, spaces...)
	}
	for _, name := range []string{"zeta", "eta-2", "eta", "eta2"} {
		for _, space := range spaces {
			f := s.function(name)
			f.Namespace = space
			s.must(s.Deploy(s.Context(), f))
		}
	}
	for _, space := range spaces {
		for _, name := range []string{"eta", "eta-2", "eta2", "zeta"} {
			want = append(want, name+"."+space)
		}
	}
	if got := keysOf(s.all()); !slices.Equal(got, want) {
		s.Errorf("List of all gave %v; want %v", got, want)
	}
	for _, space := range spaces {
		list, err := s.List(s.Context(), space)
		s.must(err)
		of := slices.DeleteFunc(slices.Clone(want), func(k string) bool { return !strings.HasSuffix(k, "."+space) })
		if got := keysOf(list); !slices.Equal(got, of) {
			s.Errorf("List(%s) gave %v; want %v", space, got, of)
		}
	}
	list, err := s.List(s.Context(), "nowhere")
	if err == nil && len(list) > 0 {
		s.Errorf("List of an unknown namespace gave %v", list)
	} else if err != nil {
		s.kind("List of an unknown namespace", err, backends.ErrNotFound)
	}
}

func keysOf(list []backends.Status) []string {
	keys := make([]string, len(list))
	for i, s := range list {
		keys[i] = s.Key.String()
	}
	return keys
}

func (s *suite) copies() {
	r := s.watched(s.Backend)
	given := s.function("hello")
	want := s.function("hello")
	s.must(s.Deploy(s.Context(), given))
	spoil := func(f backends.Function) {
		f.Env["taste"], f.Labels["team"], f.Annotations["note"] = "spoilt", "spoilt", "spoilt"
		f.Limits.Memory = "1Ki"
	}
	spoil(given)
	s.same(s.get(want.Key), want)
	spoil(s.get(want.Key).Function)
	s.same(s.get(want.Key), want)
	spoil(s.all()[0].Function)
	s.same(s.get(want.Key), want)
	s.shows(r, "the function as it was given", func(m map[backends.Key]backends.Entry) bool {
		return text(m[want.Key].Status.Function) == text(want)
	})
}
