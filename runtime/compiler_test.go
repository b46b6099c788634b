package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
	"hearth/runtime/rewrite"
)

func TestAChildCompilesEachModuleOnceHoweverManyAsk(t *testing.T) {
	dir, f := t.TempDir(), stored(t, "cat")
	var children atomic.Int32
	cfg := runtime.Config{CacheDir: dir, Compile: func(ctx context.Context) *exec.Cmd {
		children.Add(1)
		return startCompileChild(ctx)
	}}
	e := newEngine(t, cfg)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := e.Compile(t.Context(), f.Wasm); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for name, e := range map[string]*runtime.Engine{"the same engine": e, "another engine with the same cache": newEngine(t, cfg)} {
		m := load(t, e, f.Wasm, runtime.Spec{Args: f.Process})
		if r, err := invoke(t, m, request("hello")); err != nil || r.body.String() != "hello" {
			t.Errorf("%s: %q, %v", name, r.body.String(), err)
		}
	}
	if n := children.Load(); n != 1 {
		t.Errorf("%d children, want 1", n)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "compile-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestALostFileOfTheCacheIsCompiledAgain(t *testing.T) {
	dir, f := t.TempDir(), stored(t, "cat")
	cfg := runtime.Config{CacheDir: dir, Compile: startCompileChild}
	if err := newEngine(t, cfg).Compile(t.Context(), f.Wasm); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if len(files) != 1 {
		t.Fatalf("files %q, want one", files)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := newEngine(t, cfg).Compile(t.Context(), f.Wasm); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(files[0]); err != nil {
		t.Errorf("not compiled again: %v", err)
	}
}

func TestAChildThatDiesOrCannotStartIsReported(t *testing.T) {
	f := stored(t, "cat")
	for name, c := range map[string]struct {
		command []string
		kind    error
		want    string
	}{
		"is killed":       {[]string{"sh", "-c", "kill -9 $$"}, backends.ErrInvalid, "within"},
		"does nothing":    {[]string{"true"}, nil, "made 0 files"},
		"has no memory":   {[]string{"sh", "-c", "ulimit -v 100000; exec \"$0\" compile-child", os.Args[0]}, nil, ""},
		"does not exist":  {[]string{"/nonexistent/hearth"}, nil, "start the compiler"},
		"refuses to work": {[]string{"sh", "-c", "echo no disk; exit 1"}, nil, "no disk"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, runtime.Config{CacheDir: t.TempDir(), Compile: func(ctx context.Context) *exec.Cmd {
				return exec.CommandContext(ctx, c.command[0], c.command[1:]...)
			}})
			err := e.Compile(t.Context(), f.Wasm)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCloseKillsACompilationInProgress(t *testing.T) {
	e, err := runtime.New(t.Context(), runtime.Config{CacheDir: t.TempDir(), Compile: func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, "sleep", "60")
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Compile(context.Background(), stored(t, "cat").Wasm) }()
	for e.Compiling() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, backends.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestACompilationOutlivesACallerThatGivesUp(t *testing.T) {
	e := newEngine(t, runtime.Config{CacheDir: t.TempDir(), Compile: startCompileChild})
	f := stored(t, "cat")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Compile(ctx, f.Wasm); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it canceled", err)
	}
	if err := e.Compile(t.Context(), f.Wasm); err != nil {
		t.Error(err)
	}
}

// bomb is a module of one function whose body costs the compiler far more than its size says: blocks inside one another, each with its own
// br_table to all of them.
func bomb(depth int) []byte {
	var body []byte
	body = append(body, 0) // no locals
	for range depth {
		body = append(body, 0x02, 0x40) // block
	}
	for i := range depth {
		body = append(body, 0x41, 0, 0x0e) // i32.const 0, br_table
		body = uleb(body, uint32(depth-i-1))
		for j := range depth - i {
			body = uleb(body, uint32(j))
		}
		body = append(body, 0x0b) // end
	}
	body = append(body, 0x0b)
	code := append(uleb([]byte{1}, uint32(len(body))), body...)
	wasm := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x00\x0a")
	return append(uleb(wasm, uint32(len(code))), code...)
}

func uleb(to []byte, n uint32) []byte {
	for ; n >= 0x80; n >>= 7 {
		to = append(to, byte(n)|0x80)
	}
	return append(to, byte(n))
}

func TestACompileBombIsRefusedOrKilled(t *testing.T) {
	e := newEngine(t, runtime.Config{CacheDir: t.TempDir(), Compile: startCompileChild})
	e.SetCompileBudget(1)
	if err := e.Compile(t.Context(), bomb(50)); err != nil {
		t.Errorf("a small one: %v", err)
	}
	if err := e.Compile(t.Context(), bomb(1500)); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), "CPU time") {
		t.Errorf("got %v, want ErrInvalid that names the budget", err)
	}
	answersAgain(t, e)
	if err := runtime.Check(bomb(int(rewrite.DefaultLimits().Nesting) + 1)); !errors.Is(err, backends.ErrInvalid) {
		t.Errorf("%v, want ErrInvalid before anything is compiled", err)
	}
}

func TestCheckSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	wat := func(name string) []byte { return hostile(t, name) }
	good := wat("loop")
	for name, c := range map[string]struct {
		wasm []byte
		want string
	}{
		"nothing":                 {nil, "too short"},
		"text":                    {[]byte("#!/bin/sh\necho hello\n"), "not a JavaScript module"},
		"a component":             {[]byte("\x00asm\x0d\x00\x01\x00"), "GOOS=wasip1"},
		"a module without memory": {[]byte("\x00asm\x01\x00\x00\x00"), "memory"},
		"a library":               {bytes.Replace(good, []byte("_start"), []byte("_begin"), 1), "_start"},
		"a truncated module":      {good[:len(good)-3], "section"},
		"preview 0":               {bytes.Replace(wat("sleep"), []byte("\x16wasi_snapshot_preview1"), []byte("\x16wasi_snapshot_preview0"), 1), "do not exist here"},
		"an unknown import":       {bytes.Replace(wat("sleep"), []byte("poll_oneoff"), []byte("poll_onedog"), 1), "poll_onedog"},
	} {
		if err := runtime.Check(c.wasm); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want ErrInvalid with %q", name, err, c.want)
		}
	}
	if err := runtime.Check(good); err != nil {
		t.Errorf("a good module: %v", err)
	}
}

func TestACacheThatOthersCanWriteIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := runtime.New(t.Context(), runtime.Config{CacheDir: dir}); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %v, want ErrInvalid that says chmod 700", err)
	}
}
