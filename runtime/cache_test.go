package runtime_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hearth/runtime"
)

func TestRetainKeepsTheCodeOfTheModulesThatAreNamed(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(t, runtime.Config{CacheDir: dir, Compile: startCompileChild})
	cat, hello := stored(t, "cat"), stored(t, "hello")
	for _, wasm := range [][]byte{cat.Wasm, hello.Wasm} {
		if err := e.Compile(t.Context(), wasm); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if len(files) != 2 {
		t.Fatalf("files %q, want two", files)
	}
	fresh, old := filepath.Join(filepath.Dir(files[0]), "fresh"), filepath.Join(filepath.Dir(files[0]), "old")
	for _, path := range []string{fresh, old} {
		if err := os.WriteFile(path, []byte("left by somebody"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := e.Compiled(); len(got) != 2 || !got[cat.Digest] || !got[hello.Digest] {
		t.Errorf("compiled are %v", got)
	}
	bytes, err := e.Retain(func(digest string) bool { return digest == hello.Digest })
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	var size int64
	for _, path := range left {
		info, err := os.Stat(path)
		if err != nil || path == old {
			t.Errorf("%s, %v", path, err)
		}
		size += info.Size()
	}
	if notes, _ := filepath.Glob(filepath.Join(dir, "notes", "*")); len(left) != 2 || len(notes) != 1 || bytes != size {
		t.Errorf("left %q and notes %q, %d bytes counted of %d", left, notes, bytes, size)
	}
	if got := e.Compiled(); len(got) != 1 || !got[hello.Digest] {
		t.Errorf("compiled are %v", got)
	}
	for _, f := range [][]byte{cat.Wasm, hello.Wasm} { // what was removed is compiled again
		if err := e.Compile(t.Context(), f); err != nil {
			t.Error(err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*")); len(files) != 3 {
		t.Errorf("files %q, want three", files)
	}
}
