package gateway

import (
	"bytes"
	"testing"

	"hearth/backends"
)

// FuzzRoute holds that a target is cut without loss, and that a name which is
// found is one that may exist.
func FuzzRoute(f *testing.F) {
	for _, target := range []string{"/function/echo", "/function/a.b/c?d#e", "/function/%61", "http://h/function/x", "//function/x", "/function//x", "/function/a.b.c", "/function/..", "*", "http://h?x"} {
		f.Add(target)
	}
	table := newTable(backends.DefaultCall, backends.DefaultScale)
	for _, key := range []backends.Key{{Namespace: backends.DefaultNamespace, Name: "echo"}, {Namespace: "b", Name: "a"}} {
		table.Set(backends.Entry{Handler: hello, Status: backends.Status{Function: backends.Function{Key: key}}})
	}
	f.Fuzz(func(t *testing.T, target string) {
		name, path, query, ok := cutCall([]byte(target))
		if !ok {
			return
		}
		if len(path) == 0 || path[0] != '/' || bytes.ContainsAny(name, "/?#") || bytes.ContainsAny(path, "?#") {
			t.Errorf("%q: name %q, path %q, query %q", target, name, path, query)
		}
		if r := table.lookup(name); r != nil {
			if key, err := backends.ParseKey(string(name)); err != nil || key != r.key {
				t.Errorf("%q found %s", name, r.key)
			}
		}
	})
}
