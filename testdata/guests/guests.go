// Package guests gives tests the WebAssembly programs of this directory and of
// CORPUS, which lists them all with where they are from, under which licence,
// and the digest of their bytes.
package guests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Guest is one line of CORPUS.
type Guest struct {
	Name    string
	Licence string // SPDX
	SHA256  string // of the module, in hex
	Module  string // Go module that carries it; empty: this one
	Path    string // below the module's root
}

// List reads CORPUS: one guest per line as name, licence, digest, module or -,
// and path, parted by spaces; # begins a comment.
func List(tb testing.TB) []Guest {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root(tb), "testdata/guests/CORPUS"))
	if err != nil {
		tb.Fatal(err)
	}
	var list []Guest
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 5 {
			tb.Fatalf("CORPUS: %q has %d words; want name, licence, digest, module, path", line, len(words))
		}
		list = append(list, Guest{words[0], words[1], words[2], strings.TrimPrefix(words[3], "-"), words[4]})
	}
	return list
}

// Wasm gives the bytes of a guest in CORPUS, once their digest is right.
func Wasm(tb testing.TB, name string) []byte {
	tb.Helper()
	for _, g := range List(tb) {
		if g.Name == name {
			return g.Wasm(tb)
		}
	}
	tb.Fatalf("CORPUS has no guest %q", name)
	return nil
}

// Wasm gives the guest's bytes, once their digest is right.
func (g Guest) Wasm(tb testing.TB) []byte {
	tb.Helper()
	dir := root(tb)
	if g.Module != "" {
		dir = goCommand(tb, dir, nil, "list", "-m", "-f", "{{.Dir}}", g.Module)
		if dir == "" {
			tb.Fatalf("the module %s of guest %s is not there: run go mod download", g.Module, g.Name)
		}
	}
	wasm, err := os.ReadFile(filepath.Join(dir, g.Path))
	if err != nil {
		tb.Fatal(err)
	}
	if sum := sha256.Sum256(wasm); hex.EncodeToString(sum[:]) != g.SHA256 {
		tb.Fatalf("guest %s: the digest of %s is %x; CORPUS says %s: run make guests if it is one of ours", g.Name, g.Path, sum, g.SHA256)
	}
	return wasm
}

// Go gives the program in a directory below testdata/guests/go, built for
// WASI by the toolchain that runs the test, and kept in the user's cache
// directory under the digest of toolchain and sources.
func Go(tb testing.TB, name string) []byte {
	tb.Helper()
	dir := filepath.Join(root(tb), "testdata/guests/go", name)
	hash, mode := sha256.New(), "-buildmode=default"
	fmt.Fprintln(hash, runtime.Version())
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("//go:wasmexport ")) {
			mode = "-buildmode=c-shared" // a reactor
		}
		fmt.Fprintf(hash, "%s %d\n%s", filepath.Base(path), len(text), text)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = tb.TempDir()
	}
	cache = filepath.Join(cache, "hearth-guests")
	kept := filepath.Join(cache, fmt.Sprintf("%s-%x.wasm", name, hash.Sum(nil)[:16]))
	if wasm, err := os.ReadFile(kept); err == nil {
		return wasm
	}
	built := filepath.Join(tb.TempDir(), name+".wasm")
	goCommand(tb, dir, []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", mode, "-o", built, ".")
	wasm, err := os.ReadFile(built)
	if err != nil {
		tb.Fatal(err)
	}
	keep(tb, kept, wasm)
	return wasm
}

// keep stores a built program; a cache that cannot be written is no fault.
func keep(tb testing.TB, path string, wasm []byte) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Log(err)
		return
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		tb.Log(err)
		return
	}
	_, err = temp.Write(wasm)
	if e := temp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		tb.Log(err)
		_ = os.Remove(temp.Name())
	}
}

// root is the directory of this module's go.mod, above the test's package.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	tb.Fatalf("no go.mod above the test's directory: %v", err)
	return ""
}

// goCommand runs the toolchain and gives what it printed.
func goCommand(tb testing.TB, dir string, env []string, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "go", args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), tb.Output()
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}
