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

// A Go program frozen with its runtime started answers every call as if it had just started: with random numbers, an order of maps and a
// time of its own.
func TestAFrozenGoProgramDrawsAnewInEveryCall(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	m := load(t, e, guests.Go(t, "draw"), runtime.Spec{Env: map[string]string{"greeting": "hi"}})
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
func TestClosingDoesNotWaitForAProof(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	wasm := guests.Go(t, "draw")
	load(t, e, wasm, runtime.Spec{}) // compiles it
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
