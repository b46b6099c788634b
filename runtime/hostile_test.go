package runtime_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

// hostile returns a module that means harm.
func hostile(tb testing.TB, name string) []byte {
	tb.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "hostile", name+".wasm"))
	if err != nil {
		tb.Fatal(err)
	}
	return wasm
}

// answersAgain makes sure that a module still answers after what was done to its engine.
func answersAgain(tb testing.TB, e *runtime.Engine) {
	tb.Helper()
	f := stored(tb, "cat")
	m := load(tb, e, f.Wasm, runtime.Spec{Args: f.Process})
	defer m.Close()
	if r, err := invoke(tb, m, request("still here")); err != nil || r.body.String() != "still here" {
		tb.Errorf("another function answers %q, %v", r.body.String(), err)
	}
}

func TestAGuestThatNeverEndsIsStoppedAtItsDeadline(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	for _, name := range []string{"loop", "loop-table", "loop-start", "loop-indirect", "exponential", "fill", "sleep"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, e, hostile(t, name), runtime.Spec{})
			defer m.Close()
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
				err := m.Invoke(ctx, request(""), &recorder{})
				cancel()
				if !errors.Is(err, backends.ErrDeadline) {
					t.Fatalf("got %v, want ErrDeadline", err)
				}
			}
			if n := m.InFlight(); n != 0 {
				t.Errorf("%d calls in flight", n)
			}
		})
	}
	answersAgain(t, e)
}

func TestACallerThatGoesAwayStopsALoop(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), hostile(t, "loop"), runtime.Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := m.Invoke(ctx, request(""), &recorder{}); !errors.Is(err, backends.ErrCanceled) {
		t.Errorf("got %v, want ErrCanceled", err)
	}
}

func TestEndlessRecursionIsATrapThatGivesItsMemoryBack(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	m := load(t, e, hostile(t, "recursion"), runtime.Spec{})
	for range 20 {
		if _, err := invoke(t, m, request("")); !errors.Is(err, backends.ErrFunction) || !strings.Contains(err.Error(), "stack") {
			t.Fatalf("got %v, want ErrFunction about the stack", err)
		}
	}
	goruntime.GC()
	var stats goruntime.MemStats
	goruntime.ReadMemStats(&stats)
	if stats.HeapAlloc > 64<<20 {
		t.Errorf("%d MiB in use after 20 overflows, want at most 64", stats.HeapAlloc>>20)
	}
	answersAgain(t, e)
}

func TestMemoryEndsAtTheLimit(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	for _, name := range []string{"grow", "grow-table"} {
		m := load(t, e, hostile(t, name), runtime.Spec{Memory: 16 << 20})
		if _, err := invoke(t, m, request("")); err != nil {
			t.Errorf("%s: %v, want the growth refused and the program told", name, err)
		}
	}
	_, err := e.Load(t.Context(), hostile(t, "memory-initial"), runtime.Spec{Memory: 16 << 20})
	if !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), "limits.memory") {
		t.Errorf("a module that starts with 4 GiB: %v, want ErrInvalid about limits.memory", err)
	}
}

func TestOutputWithoutEndIsCutOff(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	m := load(t, e, hostile(t, "flood-stdout"), runtime.Spec{Answer: 1 << 20})
	if r, err := invoke(t, m, request("")); backends.HTTPStatus(err) != http.StatusBadGateway || r.body.Len() > 1<<20 {
		t.Errorf("standard output: %v after %d bytes, want 502 at 1 MiB", err, r.body.Len())
	}
	size, last := 0, ""
	m = load(t, e, hostile(t, "flood-stderr"), runtime.Spec{Log: func(line []byte) { size += len(line) + 1; last = string(line) }})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.Invoke(ctx, request(""), &recorder{}); !errors.Is(err, backends.ErrDeadline) {
		t.Errorf("standard error: %v, want ErrDeadline", err)
	}
	if size > 1<<20+100 || !strings.HasPrefix(last, "truncated") {
		t.Errorf("log of %d bytes ending with %q, want 1 MiB and the word truncated", size, last)
	}
}

func TestATrapFailsOneCallAndIsExplainedInTheLog(t *testing.T) {
	var log strings.Builder
	m := load(t, newEngine(t, runtime.Config{}), hostile(t, "traps"), runtime.Spec{Log: func(line []byte) { log.Write(line) }})
	for input, want := range map[string]string{
		"u": "unreachable", "d": "divide by zero", "o": "out of bounds memory access", "i": "invalid table access", "t": "indirect call type mismatch",
		"c": "invalid conversion to integer", "e": "exit status 255",
	} {
		log.Reset()
		_, err := invoke(t, m, request(input))
		if backends.HTTPStatus(err) != http.StatusInternalServerError || !strings.Contains(err.Error(), want) {
			t.Errorf("input %q: %v, want %q and 500", input, err, want)
		}
		if input != "e" && !strings.Contains(log.String(), want) {
			t.Errorf("input %q: the log %q does not say %q", input, log.String(), want)
		}
		if r, err := invoke(t, m, request("x")); err != nil || r.body.String() != "x" {
			t.Errorf("the call after %q: %q, %v", input, r.body.String(), err)
		}
	}
}

// TestNothingOfACallIsLeftForTheNext runs a guest that marks every kind of state there is and looks for its marks.
func TestNothingOfACallIsLeftForTheNext(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	one := load(t, e, hostile(t, "state"), runtime.Spec{})
	two := load(t, e, hostile(t, "state"), runtime.Spec{Args: []string{"other"}})
	for i, end := range strings.Split(strings.Repeat("- - t - r - l - ", 8), " ") {
		m := one
		if i%3 == 2 {
			m = two
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if end == "l" {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		}
		err := m.Invoke(ctx, request(end), &recorder{})
		cancel()
		if failed := err != nil; failed != (end == "t" || end == "l" || end == "r") || failed && strings.Contains(err.Error(), "exit status") {
			t.Fatalf("call %d (%q): %v", i, end, err)
		}
	}
}

// TestTwoHundredSleepersShareTwoSlots: a guest that sleeps needs no slot.
func TestTwoHundredSleepersShareTwoSlots(t *testing.T) {
	f := stored(t, "sleep")
	m := load(t, newEngine(t, runtime.Config{Slots: 2}), f.Wasm, runtime.Spec{Args: []string{"sleep", "0.3"}})
	start := time.Now()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if err := m.Invoke(context.Background(), request(""), &recorder{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("200 sleepers of 0.3 s took %v: they did not sleep at the same time", took)
	}
}

func TestGuestsThatComputeTakeTurns(t *testing.T) {
	e := newEngine(t, runtime.Config{Slots: 1})
	spinner, f := load(t, e, hostile(t, "loop"), runtime.Spec{}), stored(t, "cat")
	quick := load(t, e, f.Wasm, runtime.Spec{Args: f.Process})
	ctx, cancel := context.WithCancel(t.Context())
	var spins sync.WaitGroup
	for range 4 {
		spins.Go(func() { _ = spinner.Invoke(ctx, request(""), &recorder{}) })
	}
	for range 10 {
		if _, err := invoke(t, quick, request("x")); err != nil {
			t.Errorf("beside four guests that compute for ever: %v", err)
		}
	}
	cancel()
	spins.Wait()
}
