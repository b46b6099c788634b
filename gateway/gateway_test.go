package gateway

import (
	"testing"

	"hearth/backends"
)

func TestATableAnswersToBothNamesOfAFunctionInTheDefaultNamespace(t *testing.T) {
	key, other := backends.Key{Namespace: backends.DefaultNamespace, Name: "echo"}, backends.Key{Namespace: "dev", Name: "echo"}
	table := newTable(backends.DefaultCall, backends.DefaultScale)
	for _, k := range []backends.Key{key, other} {
		table.Set(backends.Entry{Status: backends.Status{Function: backends.Function{Key: k}}})
	}
	for name, want := range map[string]backends.Key{"echo": key, "echo.openfaas-fn": key, "echo.dev": other} {
		if r := table.lookup([]byte(name)); r == nil || r.key != want {
			t.Errorf("lookup %s: got %+v, want %s", name, r, want)
		}
	}
	table.Delete(key)
	for _, name := range []string{"echo", "echo.openfaas-fn"} {
		if r := table.lookup([]byte(name)); r != nil {
			t.Errorf("lookup %s after delete: got %s", name, r.key)
		}
	}
}
