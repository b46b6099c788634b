package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
	"hearth/testdata/guests"
)

func requestOf(method, path, query, body string, header headers) *backends.Request {
	return &backends.Request{
		Start: time.Now(), Method: []byte(method), Path: []byte(path), Query: []byte(query), Body: []byte(body), Header: header,
	}
}

func TestAReactorSeesTheWholeRequestAndStartsEveryCallInOneState(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Wasm(t, "reactor/greet"), runtime.Spec{})
	for call := range 20 {
		resp, err := invoke(t, m, requestOf("PUT", "/", "a=1", strings.Repeat("x", call*1000), headers{{"A", "1"}, {"B", "2"}}))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.body.String(); got != "hello "+strings.Repeat("x", call*1000) {
			t.Fatalf("call %d: body of %d bytes", call, len(got))
		}
		want := headers{{"X-Method", "PUT"}, {"X-Query", "a=1"}, {"X-Lines", "2"}, {"X-State", "111"}}
		if fmt.Sprint(resp.header) != fmt.Sprint(want) {
			t.Fatalf("call %d: header %v, want %v", call, resp.header, want)
		}
	}
	if made := m.Stats().Made; made != 1 {
		t.Errorf("20 calls one after another made %d instances", made)
	}
}

func TestAReactorSetsItsStatus(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Wasm(t, "reactor/greet"), runtime.Spec{})
	for path, want := range map[string]int{"/": 200, "/status": 418, "/grow": 200} {
		resp, err := invoke(t, m, requestOf("GET", path, "", "", nil))
		if err != nil || resp.status != want {
			t.Errorf("%s: status %d, %v; want %d", path, resp.status, err, want)
		}
	}
}

func TestAReactorThatMisbehavesFailsThatCallAlone(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Wasm(t, "reactor/greet"), runtime.Spec{})
	for name, c := range map[string]struct {
		path, body string
		kind       error
		says       string
	}{
		"a trap":                             {"/trap", "", backends.ErrFunction, "unreachable"},
		"an answer outside its memory":       {"/far", "", backends.ErrFunction, "handle returned an answer at 4294967280"},
		"an answer too short for its head":   {"/short", "", backends.ErrFunction, "handle returned an answer"},
		"an answer longer than its memory":   {"/big", "", backends.ErrFunction, "handle returned an answer"},
		"no room for the request":            {"/", strings.Repeat("x", 1<<20), backends.ErrFunction, "alloc("},
		"a loop without end at its deadline": {"/loop", "", backends.ErrDeadline, "time limit"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := m.Invoke(ctx, requestOf("GET", c.path, "", c.body, nil), &recorder{})
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want the kind %v saying %q", err, c.kind, c.says)
			}
			if resp, err := invoke(t, m, requestOf("GET", "/", "", "you", nil)); err != nil || resp.body.String() != "hello you" {
				t.Errorf("the next call: %q, %v", resp.body.String(), err)
			}
		})
	}
}

func TestAnAnswerOfAReactorIsBounded(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Wasm(t, "reactor/greet"), runtime.Spec{Answer: 10})
	if _, err := invoke(t, m, requestOf("GET", "/", "", "abcdef", nil)); !errors.Is(err, backends.ErrAnswerTooLarge) {
		t.Errorf("12 bytes of at most 10: %v", err)
	}
}

func TestAReactorInGoKeepsNothingAndItsRandomNumbersAndTimesAreTheCalls(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Go(t, "reactor"), runtime.Spec{Env: map[string]string{"COLOUR": "red"}})
	const each, callers = 125, 8
	var mu sync.Mutex
	seen := map[string]bool{}
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for call := range each {
				resp, err := invoke(t, m, requestOf("POST", "/", "", fmt.Sprintf("body %d %d", caller, call), nil))
				if err != nil || resp.body.String() != fmt.Sprintf("BODY %d %d", caller, call) {
					t.Errorf("%q, %v", resp.body.String(), err)
					return
				}
				if string(resp.header.Get("X-Calls")) != "1" || string(resp.header.Get("X-Env")) != "red" {
					t.Errorf("header %v", resp.header)
				}
				mu.Lock()
				seen["random "+string(resp.header.Get("X-Random"))] = true
				seen["time "+string(resp.header.Get("X-Time"))] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if n := len(seen); n != 2*each*callers {
		t.Errorf("%d different random numbers and times in %d calls", n, each*callers)
	}
	if s := m.Stats(); s.Made > callers {
		t.Errorf("%d instances for %d callers", s.Made, callers)
	}
}

func TestAReactorThatDrawsWhileItIsInitialisedDrawsAnewForEveryCall(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Wasm(t, "reactor/draw"), runtime.Spec{})
	seen := map[string]bool{}
	for range 50 {
		resp, err := invoke(t, m, requestOf("GET", "/", "", "", nil))
		if err != nil {
			t.Fatal(err)
		}
		seen[resp.body.String()] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d different numbers in 50 calls", len(seen))
	}
}

func TestAWarmCallOfAReactorAllocatesNothing(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Wasm(t, "reactor/greet"), runtime.Spec{})
	req, resp := requestOf("GET", "/", "", "you", nil), &discard{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if n := testing.AllocsPerRun(1000, func() {
		if err := m.Invoke(ctx, req, resp); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per call, want 0", n)
	}
}

func BenchmarkReactor(b *testing.B) {
	for name, wasm := range map[string][]byte{"C": guests.Wasm(b, "reactor/greet"), "Go": guests.Go(b, "reactor")} {
		b.Run(name, func(b *testing.B) {
			m := load(b, newEngine(b, runtime.Config{}), wasm, runtime.Spec{})
			req, resp := requestOf("GET", "/", "", "you", nil), &discard{}
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
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

func contextOf(tb testing.TB, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(tb.Context(), limit)
}
