package local_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"hearth/backends"
	"hearth/backends/backendtest"
	"hearth/backends/local"
)

func TestLocalIsABackend(t *testing.T) {
	dirs := map[backends.Backend]string{}
	backendtest.Run(t, func(t *testing.T) backends.Backend {
		dir := t.TempDir()
		l := openLocal(t, dir)
		dirs[l] = dir
		return l
	}, backendtest.Options{
		Reopen: func(t *testing.T, b backends.Backend) backends.Backend {
			if err := b.(*local.Local).Close(); err != nil {
				t.Fatal(err)
			}
			return openLocal(t, dirs[b])
		},
	})
}

func openLocal(t *testing.T, dir string) *local.Local {
	t.Helper()
	l, err := local.Open(local.Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestBrokenFilesAreQuarantinedAndTheRestServes(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	l := openLocal(t, dir)
	for _, name := range []string{"good", "torn"} {
		f := backends.Function{Key: backends.Key{Namespace: "openfaas-fn", Name: name}, Image: "hello"}
		if err := l.Deploy(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	functions := filepath.Join(dir, "functions")
	whole, err := os.ReadFile(filepath.Join(functions, "torn.openfaas-fn.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"torn.openfaas-fn.json":  whole[:len(whole)/2],
		"other.openfaas-fn.json": whole, // holds torn
		"notes.txt":              []byte("remember the milk"),
		"empty.openfaas-fn.json": nil,
	} {
		if err := os.WriteFile(filepath.Join(functions, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(functions, "a-directory"), 0o700); err != nil {
		t.Fatal(err)
	}

	l = openLocal(t, dir)
	list, err := l.List(ctx, "")
	if err != nil || len(list) != 1 || list[0].Name != "good" {
		t.Errorf("List gave %v, %v; want good alone", list, err)
	}
	if kept, err := os.ReadDir(filepath.Join(dir, "quarantine")); err != nil || len(kept) != 5 {
		t.Errorf("quarantine holds %v, %v; want 5", kept, err)
	}
	if _, err := l.Get(ctx, backends.Key{Namespace: "openfaas-fn", Name: "torn"}); !errors.Is(err, backends.ErrNotFound) {
		t.Errorf("Get(torn) gave %v; want ErrNotFound", err)
	}
}
