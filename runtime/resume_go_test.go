package runtime_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
	"hearth/testdata/guests"
)

// awaitProof waits until it is known whether a Go program is frozen early.
func awaitProof(tb testing.TB, m *runtime.Module) bool {
	tb.Helper()
	m.AwaitTasks()
	return m.FrozenEarly()
}

// One engine, because compiling a Go program takes longer than all the rest.
func TestGoProgramsAreFrozenAfterTheirRuntimeHasStarted(t *testing.T) {
	e, wasm := newEngine(t, runtime.Config{}), guests.Go(t, "draw")
	t.Run("a frozen program draws anew in every call", func(t *testing.T) { drawsAnew(t, e, wasm) })
	t.Run("a program is resumed where its owner says", func(t *testing.T) { resumedWhereSaid(t, e, wasm) })
	t.Run("closing does not wait for a proof", func(t *testing.T) { closesWhileProving(t, e, wasm) })
}

// A Go program frozen with its runtime started answers every call as if it had just started: with random numbers, an order of maps and a
// time of its own.
func drawsAnew(t *testing.T, e *runtime.Engine, wasm []byte) {
	m := load(t, e, wasm, runtime.Spec{Env: map[string]string{"greeting": "hi"}})
	if !awaitProof(t, m) || m.Stats().Resumed != runtime.ResumedInput {
		t.Fatalf("the program was not frozen early but at %s", m.Stats().Resumed)
	}
	seen := map[string]int{}
	const calls = 1000
	for i := range calls {
		r, err := invoke(t, m, request("draw"))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(strings.ReplaceAll(r.body.String(), ", ", ","))
		for _, field := range fields {
			seen[field]++
		}
		if !strings.HasSuffix(r.body.String(), "greeting=hi\n") {
			t.Fatalf("call %d: %s", i, r.body.String())
		}
		if i%10 == 0 {
			body := strings.Repeat(fmt.Sprint(i, " "), 1+i*40)
			if got, err := invoke(t, m, request(body)); err != nil || got.body.String() != body {
				t.Fatalf("call %d: %d bytes of %d, %v", i, got.body.Len(), len(body), err)
			}
		}
	}
	for value, n := range seen {
		for _, kind := range []string{"v1=", "v2=", "crypto=", "time="} {
			if n > 1 && strings.HasPrefix(value, kind) {
				t.Errorf("%d calls of %d drew %s", n, calls, value)
			}
		}
	}
	if n := seen["order=[0"] + seen["order=[1"]; n > calls/2 {
		t.Errorf("%d maps of %d began with the same two keys", n, calls)
	}
	if s := m.Stats(); s.Idle == 0 || s.Instances != int64(s.Idle) {
		t.Errorf("stats %+v", s)
	}
}

// A Go program that may look at its request's variables is not frozen before they are there.
func TestAGoProgramThatReadsTheRequestsVariablesSeesThem(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Go(t, "tool"), runtime.Spec{Memory: 64 << 20})
	if awaitProof(t, m) {
		t.Fatal("the program was frozen before its environment was there")
	}
	for _, path := range []string{"/upper", "/cat", "/upper"} {
		req := request("word")
		req.Path = []byte(path)
		want := "word"
		if path == "/upper" {
			want = "WORD\n"
		}
		if r, err := invoke(t, m, req); err != nil || r.body.String() != want {
			t.Errorf("%s: %q, %v", path, r.body.String(), err)
		}
	}
}

// What was found out about a program holds as long as its module is kept, through restarts.
func TestAProofIsMadeOnce(t *testing.T) {
	dir, wasm := t.TempDir(), guests.Go(t, "draw")
	cfg := runtime.Config{CacheDir: dir, Compile: startCompileChild}
	proofs := func() int {
		paths, err := filepath.Glob(filepath.Join(dir, "proofs", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(paths)
	}
	first := newEngine(t, cfg)
	first.SetCompileBudget(300) // under the race detector a child is slow
	m := load(t, first, wasm, runtime.Spec{})
	if m.FrozenEarly() {
		t.Error("frozen early before anything is known")
	}
	if !awaitProof(t, m) || proofs() != 1 {
		t.Fatalf("frozen early: %v, %d proofs", m.FrozenEarly(), proofs())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := newEngine(t, cfg)
	if m = load(t, second, wasm, runtime.Spec{}); !m.FrozenEarly() {
		t.Error("the proof was forgotten")
	}
	if r, err := invoke(t, m, request("as it was")); err != nil || r.body.String() != "as it was" {
		t.Errorf("%q, %v", r.body.String(), err)
	}
	if other := load(t, second, wasm, runtime.Spec{Args: []string{"other"}}); other.FrozenEarly() {
		t.Error("a proof for other arguments was taken for this one's")
	} else {
		other.AwaitTasks()
	}
	if _, err := second.Retain(func(string) bool { return false }); err != nil || proofs() != 0 {
		t.Errorf("%d proofs left of modules that are gone, %v", proofs(), err)
	}
}

// A module can be closed while it is still being tried out.
func closesWhileProving(t *testing.T, e *runtime.Engine, wasm []byte) {
	for range 5 {
		m := load(t, e, wasm, runtime.Spec{})
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if s := m.Stats(); s.Instances != 0 {
			t.Errorf("%d instances left", s.Instances)
		}
	}
}

// Asked to, a program is resumed at its first read of input, and draws nothing anew before that.
func resumedWhereSaid(t *testing.T, e *runtime.Engine, wasm []byte) {
	for _, c := range []struct {
		resume  string
		resumes bool
		early   bool
		at      runtime.Resumption
	}{
		{runtime.ResumeOff, false, false, runtime.ResumedStart},
		{runtime.ResumeEnv, true, false, runtime.ResumedCall},
		{runtime.ResumeStdin, true, false, runtime.ResumedInput},
		{runtime.ResumeAuto, true, true, runtime.ResumedInput},
	} {
		m := load(t, e, wasm, runtime.Spec{Resume: c.resume, Env: map[string]string{"greeting": "hi"}})
		if early := awaitProof(t, m); early != c.early {
			t.Errorf("%s: frozen early because nobody saw a difference: %v", c.resume, early)
		}
		for range 3 {
			if r, err := invoke(t, m, request("draw")); err != nil || !strings.HasSuffix(r.body.String(), "greeting=hi\n") {
				t.Errorf("%s: %q, %v", c.resume, r.body.String(), err)
			}
		}
		if m.Resumes() != c.resumes || m.Stats().Resumed != c.at {
			t.Errorf("%s: the program is resumed: %v, at %s", c.resume, m.Resumes(), m.Stats().Resumed)
		}
	}
}

func BenchmarkResumeGo(b *testing.B) {
	e := newEngine(b, runtime.Config{})
	wasm := guests.Go(b, "draw")
	for _, fromStart := range []bool{false, true} {
		b.Run(fmt.Sprintf("from-start=%v", fromStart), func(b *testing.B) {
			m := load(b, e, wasm, runtime.Spec{Key: backends.Key{Namespace: "fn", Name: "go"}})
			defer m.Close()
			if early := awaitProof(b, m); !early {
				b.Fatal("not frozen early")
			}
			if fromStart {
				m.RunFromStart()
			}
			req, resp := request(strings.Repeat("x", 1024)), &discard{}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Invoke(ctx, req, resp); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
