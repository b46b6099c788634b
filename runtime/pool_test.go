package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

func TestCallsOneAfterAnotherShareOneInstance(t *testing.T) {
	f := stored(t, "cat")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: f.Process})
	for i := range 100 {
		want := strings.Repeat("x", i*37)
		if r, err := invoke(t, m, request(want)); err != nil || r.body.String() != want {
			t.Fatalf("call %d: %q, %v", i, r.body.String(), err)
		}
	}
	if s := m.Stats(); s.Made != 1 || s.Idle != 1 || s.Instances != 1 || s.Calls != 100 || s.Failed != 0 || s.InFlight != 0 {
		t.Errorf("stats %+v, want one instance for 100 calls", s)
	}
}

func TestAnInstanceThatOverflowedItsStackIsNotUsedAgain(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), hostile(t, "recursion"), runtime.Spec{})
	_, _ = invoke(t, m, request(""))
	if s := m.Stats(); s.Instances != 0 || s.Failed != 1 {
		t.Errorf("stats %+v, want the instance closed", s)
	}
}

func TestIdleInstancesMakeRoomForThoseThatWork(t *testing.T) {
	f := stored(t, "sleep")
	e := newEngine(t, runtime.Config{MemoryBudget: 700 << 10, Slots: 4})
	var functions []*runtime.Module
	for i := range 8 {
		functions = append(functions, load(t, e, f.Wasm, runtime.Spec{Args: []string{"sleep", "0"}, Env: map[string]string{"n": fmt.Sprint(i)}}))
	}
	for range 3 {
		for i, m := range functions {
			if _, err := invoke(t, m, request("")); err != nil {
				t.Errorf("function %d: %v", i, err)
			}
		}
	}
	busy := load(t, e, f.Wasm, runtime.Spec{Args: []string{"sleep", "60"}})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var refused atomic.Int32
	for range 20 {
		all.Go(func() {
			if errors.Is(busy.Invoke(ctx, request(""), &recorder{}), backends.ErrUnavailable) {
				refused.Add(1)
			}
		})
	}
	for busy.InFlight()+int(refused.Load()) > 20 || refused.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	all.Wait()
	if n := refused.Load(); n == 20 {
		t.Error("no call fitted into the budget")
	}
	if _, err := invoke(t, functions[0], request("")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// discard is a response that keeps nothing.
type discard struct{ n int }

func (d *discard) SetStatus(int)               {}
func (d *discard) SetHeader(_, _ []byte)       {}
func (d *discard) AddHeader(_, _ []byte)       {}
func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }

func TestAWarmCallAllocatesNothingOfOurs(t *testing.T) {
	e, cat, env := newEngine(t, runtime.Config{}), stored(t, "cat"), stored(t, "env")
	for name, m := range map[string]*runtime.Module{
		"a program that returns": load(t, e, hostile(t, "traps"), runtime.Spec{}), // which echoes an x
		"a program that exits":   load(t, e, cat.Wasm, runtime.Spec{Args: cat.Process}),
		"the environment":        load(t, e, env.Wasm, runtime.Spec{Args: env.Process}),
	} {
		req, resp := request("x"), &discard{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if n := testing.AllocsPerRun(100, func() {
			if err := m.Invoke(ctx, req, resp); err != nil {
				t.Error(err)
			}
		}); n > 1 { // the engine wraps the context of a program that is resumed
			t.Errorf("%s: %v allocations per call, want none of ours", name, n)
		}
		cancel()
		if resp.n < 101 {
			t.Errorf("%s: %d bytes answered, want at least one per call", name, resp.n)
		}
	}
}

func TestManyCallersOfManyFunctionsGetTheirOwnAnswers(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	var all sync.WaitGroup
	for i := range 4 {
		f := stored(t, "cat")
		m := load(t, e, f.Wasm, runtime.Spec{Args: f.Process, Key: backends.Key{Namespace: "fn", Name: fmt.Sprint("f", i)}})
		for j := range 8 {
			all.Go(func() {
				for k := range 100 {
					body := bytes.Repeat(fmt.Appendf(nil, "%d-%d-%d ", i, j, k), 1+k*7)
					r := &recorder{}
					if err := m.Invoke(t.Context(), &backends.Request{Body: body}, r); err != nil || !bytes.Equal(r.body.Bytes(), body) {
						t.Errorf("function %d, caller %d, call %d: %d bytes, %v", i, j, k, r.body.Len(), err)
						return
					}
				}
			})
		}
	}
	all.Wait()
}

func BenchmarkCall(b *testing.B) {
	e := newEngine(b, runtime.Config{})
	for _, bench := range []struct {
		name string
		body int
	}{{"hello", 0}, {"cat", 1024}, {"cat", 1 << 20}, {"sha512sum", 1024}} {
		b.Run(fmt.Sprintf("%s-%d", bench.name, bench.body), func(b *testing.B) {
			f := stored(b, bench.name)
			m := load(b, e, f.Wasm, runtime.Spec{Args: f.Process})
			defer m.Close()
			req, resp := request(strings.Repeat("x", bench.body)), &discard{}
			b.SetBytes(int64(bench.body))
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Invoke(context.Background(), req, resp); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
