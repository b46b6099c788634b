package backendtest

import (
	"errors"
	"strings"

	"hearth/backends"
)

// badNames are forms of a name that no part of the system may let through: each
// would mean something to a file system, a URL, or an eye.
func badNames() []string {
	return []string{
		"", ".", "..", "../up", "..%2fup", "%2e%2e", "%252e", "a/b", "/etc/passwd", `a\b`, "a\x00b", "a b", "a\nb",
		".hidden", "-dash", "dash-", "a_b", "Upper", "a.b.c", "a..b", "a.", "naïve", "аdmin" /* Cyrillic а */, "ａ", /* full width */
		"a\u200bb", "\u202eolleh", "$(id)", "*", "{a,b}", "~", "a?b", "a#b", "a:b", "a@b", strings.Repeat("a", 64), strings.Repeat("a", 10<<10),
	}
}

func (s *suite) names() {
	r := s.watched(s.Backend)
	refused := func(what string, err error) {
		s.Helper()
		if !errors.Is(err, backends.ErrInvalid) && !errors.Is(err, backends.ErrNotFound) {
			s.Errorf("%.120s gave %v; want an error of kind invalid or not found", what, err)
		}
	}
	for _, name := range badNames() {
		for _, k := range []backends.Key{{Namespace: backends.DefaultNamespace, Name: name}, {Namespace: name, Name: "hello"}} {
			if k.Namespace == "" {
				continue // a client's word for the default one
			}
			f := s.function("x")
			f.Key = k
			refused("Deploy "+k.String(), s.Deploy(s.Context(), f))
			refused("Update "+k.String(), s.Update(s.Context(), f))
			refused("Delete "+k.String(), s.Delete(s.Context(), k))
			refused("Scale "+k.String(), s.Scale(s.Context(), k, 1))
			_, err := s.Get(s.Context(), k)
			refused("Get "+k.String(), err)
			if list, err := s.List(s.Context(), k.Namespace); err == nil && len(list) > 0 {
				s.Errorf("List(%.60q) gave %v", k.Namespace, list)
			}
		}
		s.secretNames(name, refused)
		s.namespaceNames(name, refused)
	}
	if list := s.all(); len(list) != 0 {
		s.Errorf("bad names made %v", list)
	}
	if entries := r.Entries(); len(entries) != 0 {
		s.Errorf("bad names made entries %v", entries)
	}
}

func (s *suite) secretNames(name string, refused func(string, error)) {
	p := s.Powers().Secrets
	if p == nil {
		return
	}
	s.Helper()
	for _, at := range [][2]string{{backends.DefaultNamespace, name}, {name, "token"}} {
		if at[0] == "" || name == "a.b.c" && at[1] == name {
			continue // the default namespace; a secret's name may have dots
		}
		secret := backends.Secret{Namespace: at[0], Name: at[1], Value: []byte("v")}
		refused("create secret "+at[0]+"/"+at[1], p.Create(s.Context(), secret))
		refused("update secret "+at[0]+"/"+at[1], p.Update(s.Context(), secret))
		refused("delete secret "+at[0]+"/"+at[1], p.Delete(s.Context(), at[0], at[1]))
		_, err := p.Read(s.Context(), at[0], at[1])
		refused("read secret "+at[0]+"/"+at[1], err)
	}
}

func (s *suite) namespaceNames(name string, refused func(string, error)) {
	p := s.Powers().Namespaces
	if p == nil {
		return
	}
	s.Helper()
	refused("create namespace "+name, p.Create(s.Context(), backends.Namespace{Name: name}))
	refused("update namespace "+name, p.Update(s.Context(), backends.Namespace{Name: name}))
	refused("delete namespace "+name, p.Delete(s.Context(), name))
	_, err := p.Get(s.Context(), name)
	refused("get namespace "+name, err)
}
