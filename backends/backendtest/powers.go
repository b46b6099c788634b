package backendtest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hearth/backends"
)

func (s *suite) secrets() {
	p, ctx, space := s.Powers().Secrets, s.Context(), backends.DefaultNamespace
	if names, err := p.List(ctx, space); err != nil || len(names) != 0 {
		s.Fatalf("a fresh backend lists secrets %v, %v", names, err)
	}
	values := map[string][]byte{
		"token":                  []byte("s3cret"),
		"a.dotted.name":          []byte("line 1\nline 2\n"),
		"binary":                 {0, 1, 2, 0xff, 0xfe, '\n', 0},
		strings.Repeat("n", 63):  bytes.Repeat([]byte("k"), 64<<10),
		"a." + longSecretName(s): []byte("long"),
	}
	for name, value := range values {
		given := bytes.Clone(value)
		s.must(p.Create(ctx, backends.Secret{Namespace: space, Name: name, Value: given}))
		given[0] ^= 1 // the caller's to reuse
	}
	want := slices.Sorted(maps.Keys(values))
	if names, err := p.List(ctx, space); err != nil || !slices.Equal(names, want) {
		s.Errorf("List gave %v, %v; want %v", names, err, want)
	}
	for name, value := range values {
		if got, err := p.Read(ctx, space, name); err != nil || !bytes.Equal(got, value) {
			s.Errorf("Read(%s) gave %.20q, %v; want %.20q", name, got, err, value)
		}
	}
	s.kind("a second Create", p.Create(ctx, backends.Secret{Namespace: space, Name: "token", Value: []byte("other")}), backends.ErrExists)
	if got, err := p.Read(ctx, space, "token"); err != nil || string(got) != "s3cret" {
		s.Errorf("Read gave %q, %v after a refused Create; want s3cret", got, err)
	}
	s.must(p.Update(ctx, backends.Secret{Namespace: space, Name: "token", Value: []byte("rotated")}))
	got, err := p.Read(ctx, space, "token")
	if err != nil || string(got) != "rotated" {
		s.Errorf("Read gave %q, %v after Update; want rotated", got, err)
	}
	s.must(p.Delete(ctx, space, "token"))
	absent := backends.Secret{Namespace: space, Name: "token", Value: []byte("v")}
	_, err = p.Read(ctx, space, "token")
	s.kind("Read of a deleted secret", err, backends.ErrNotFound)
	s.kind("Update of a deleted secret", p.Update(ctx, absent), backends.ErrNotFound)
	s.kind("a second Delete", p.Delete(ctx, space, "token"), backends.ErrNotFound)
	absent.Namespace = "nowhere"
	s.kind("Create in an unknown namespace", p.Create(ctx, absent), backends.ErrNotFound)
}

// longSecretName makes a name that has, after two more bytes, the length that
// is just allowed.
func longSecretName(s *suite) string {
	name := strings.Join([]string{strings.Repeat("x", 63), strings.Repeat("y", 63), strings.Repeat("z", 63), strings.Repeat("w", 59)}, ".")
	if len(name) != 251 {
		s.Fatalf("the name has %d bytes", len(name))
	}
	return name
}

func (s *suite) functionSecrets() {
	p, ctx, space := s.Powers().Secrets, s.Context(), backends.DefaultNamespace
	f := s.function("hello")
	f.Secrets = []string{"token", "other"}
	s.must(p.Create(ctx, backends.Secret{Namespace: space, Name: "token", Value: []byte("v")}))
	err := s.Deploy(ctx, f)
	s.kind("Deploy with an unknown secret", err, backends.ErrNotFound)
	if err != nil && !strings.Contains(err.Error(), "other") {
		s.Errorf("the error %q does not name the unknown secret", err)
	}
	if list := s.all(); len(list) != 0 {
		s.Fatalf("a refused Deploy left %v", list)
	}
	s.must(p.Create(ctx, backends.Secret{Namespace: space, Name: "other", Value: []byte("w")}))
	s.must(s.Deploy(ctx, f))
	s.same(s.get(f.Key), f)

	more := s.function("hello")
	more.Secrets = []string{"token", "third"}
	s.kind("Update with an unknown secret", s.Update(ctx, more), backends.ErrNotFound)
	s.same(s.get(f.Key), f)
}

func (s *suite) namespaces() {
	p, ctx := s.Powers().Namespaces, s.Context()
	list := func(want ...string) {
		s.Helper()
		if names, err := p.List(ctx); err != nil || !slices.Equal(names, want) {
			s.Errorf("List gave %v, %v; want %v", names, err, want)
		}
	}
	list(backends.DefaultNamespace)
	if n, err := p.Get(ctx, backends.DefaultNamespace); err != nil || n.Name != backends.DefaultNamespace {
		s.Errorf("Get of the default namespace gave %+v, %v", n, err)
	}
	n := backends.Namespace{Name: "blue", Labels: map[string]string{"openfaas": "1"}, Annotations: map[string]string{"owner": "me"}}
	s.must(p.Create(ctx, n))
	list("blue", backends.DefaultNamespace)
	s.kind("a second Create", p.Create(ctx, n), backends.ErrExists)
	s.kind("Create of the default namespace", p.Create(ctx, backends.Namespace{Name: backends.DefaultNamespace}), backends.ErrExists)
	s.kind("Create of the cluster's namespace", p.Create(ctx, backends.Namespace{Name: "kube-system"}), backends.ErrInvalid)

	n.Annotations = map[string]string{"owner": "you"}
	s.must(p.Update(ctx, n))
	got, err := p.Get(ctx, "blue")
	if err != nil || fmt.Sprint(got) != fmt.Sprint(n) {
		s.Errorf("Get gave %v, %v; want %v", got, err, n)
	}
	s.kind("Update of an absent namespace", p.Update(ctx, backends.Namespace{Name: "red"}), backends.ErrNotFound)
	s.kind("Delete of an absent namespace", p.Delete(ctx, "red"), backends.ErrNotFound)
	_, err = p.Get(ctx, "red")
	s.kind("Get of an absent namespace", err, backends.ErrNotFound)
	if p.Delete(ctx, backends.DefaultNamespace) == nil {
		s.Error("the default namespace was deleted")
	}
	s.must(p.Delete(ctx, "blue"))
	list(backends.DefaultNamespace)
}

func (s *suite) namespaceInUse() {
	p, ctx := s.Powers().Namespaces, s.Context()
	s.must(p.Create(ctx, backends.Namespace{Name: "blue", Labels: map[string]string{"openfaas": "1"}}))
	f := s.function("hello")
	f.Namespace = "blue"
	s.must(s.Deploy(ctx, f))
	s.kind("Delete of a namespace with a function", p.Delete(ctx, "blue"), backends.ErrConflict)
	s.same(s.get(f.Key), f)
	s.must(s.Delete(ctx, f.Key))
	if secrets := s.Powers().Secrets; secrets != nil {
		s.must(secrets.Create(ctx, backends.Secret{Namespace: "blue", Name: "token", Value: []byte("v")}))
		s.kind("Delete of a namespace with a secret", p.Delete(ctx, "blue"), backends.ErrConflict)
		elsewhere := s.function("hello")
		elsewhere.Secrets = []string{"token"}
		s.kind("Deploy with another namespace's secret", s.Deploy(ctx, elsewhere), backends.ErrNotFound)
		s.must(secrets.Delete(ctx, "blue", "token"))
	}
	s.must(p.Delete(ctx, "blue"))
	s.kind("Deploy to a deleted namespace", s.Deploy(ctx, f), backends.ErrNotFound)
}

func (s *suite) restart() {
	ctx, space := s.Context(), backends.DefaultNamespace
	if p := s.Powers().Namespaces; p != nil {
		s.must(p.Create(ctx, backends.Namespace{Name: "blue", Labels: map[string]string{"openfaas": "1"}}))
		f := s.function("elsewhere")
		f.Namespace = "blue"
		s.must(s.Deploy(ctx, f))
	}
	f := s.function("hello")
	if p := s.Powers().Secrets; p != nil {
		s.must(p.Create(ctx, backends.Secret{Namespace: space, Name: "token", Value: []byte{1, 0, 2}}))
		f.Secrets = []string{"token"}
	}
	s.must(s.Deploy(ctx, f))
	s.must(s.Update(ctx, f))
	s.must(s.Scale(ctx, f.Key, 3))
	s.must(s.Deploy(ctx, s.function("parked")))
	s.must(s.Scale(ctx, key("parked"), 0))
	s.must(s.Deploy(ctx, s.function("gone")))
	s.must(s.Delete(ctx, key("gone")))
	old := s.all()

	s.Backend = s.opts.Reopen(s.T, s.Backend)
	fresh := s.all()
	if len(fresh) != len(old) {
		s.Fatalf("there are %v after a restart; want %v", keysOf(fresh), keysOf(old))
	}
	for i, got := range fresh {
		s.same(got, old[i].Function)
		if got.Replicas != old[i].Replicas || got.Generation != old[i].Generation || !got.Created.Equal(old[i].Created) {
			s.Errorf("%s is %+v after a restart; want %+v", got.Key, got, old[i])
		}
	}
	s.agrees(s.watched(s.Backend))
	s.must(s.Update(ctx, f))
	if was, is := s.get(f.Key).Generation, old[slices.IndexFunc(old, func(o backends.Status) bool { return o.Key == f.Key })].Generation; was <= is {
		s.Errorf("generation is %d after a restart and an update; want more than %d", was, is)
	}
	if p := s.Powers().Secrets; p != nil {
		if got, err := p.Read(ctx, space, "token"); err != nil || !bytes.Equal(got, []byte{1, 0, 2}) {
			s.Errorf("the secret is %q, %v after a restart", got, err)
		}
	}
	if p := s.Powers().Namespaces; p != nil {
		if n, err := p.Get(ctx, "blue"); err != nil || n.Labels["openfaas"] != "1" {
			s.Errorf("the namespace is %v, %v after a restart", n, err)
		}
	}
}
