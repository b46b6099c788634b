package runtime_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
	rewritten, _ := filepath.Glob(filepath.Join(dir, "rewritten", "*"))
	if len(rewritten) != 1 || filepath.Base(rewritten[0]) != hello.Digest[len("sha256:"):] {
		t.Errorf("rewritten modules %q, want hello's alone", rewritten)
	} else if info, err := os.Stat(rewritten[0]); err == nil {
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

func TestAKeptRewrittenModuleIsUsedOnlyIfItIsWholeAndThisProgramsOwn(t *testing.T) {
	dir, f := t.TempDir(), stored(t, "cat")
	cfg := runtime.Config{CacheDir: dir, Compile: startCompileChild}
	if err := newEngine(t, cfg).Compile(t.Context(), f.Wasm); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rewritten", f.Digest[len("sha256:"):])
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile(`"Program":"[0-9a-f]{64}"`)
	if !program.Match(good) {
		t.Fatalf("no program in %.100q", good)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-9] ^= 1
	for name, text := range map[string][]byte{
		"whole": good, "cut": good[:len(good)/2], "empty": nil, "changed": flipped, "no JSON": []byte("{\n"),
		"another program's": program.ReplaceAll(good, []byte(`"Program":"`+strings.Repeat("0", 64)+`"`)),
		"no program's":      program.ReplaceAll(good, []byte(`"Program":""`)),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m := load(t, newEngine(t, cfg), f.Wasm, runtime.Spec{Args: f.Process})
		if r, err := invoke(t, m, request("hello")); err != nil || r.body.String() != "hello" {
			t.Errorf("%s: %q, %v", name, r.body.String(), err)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, good) {
			t.Errorf("%s: not written anew (%v)", name, err)
		}
	}
}
